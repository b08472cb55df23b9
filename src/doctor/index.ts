/** `cvm doctor`: whether a machine has what the builder needs. */
import { binariesCheck, builderFileCheck } from './builder-file.ts';
import type { CheckGroup } from './check.ts';
import { folderChecks } from './folders.ts';
import { keyBrokerChecks } from './key-broker.ts';
import { machineChecks } from './machine.ts';
import { namespaceCheck } from './namespaces.ts';
import { developmentStateCheck, policyDirectoryCheck } from './policy-directory.ts';
import { sourceChecks } from './sources.ts';
import { toolChecks } from './tools.ts';

export type { Check, CheckGroup, Outcome, Result, Status } from './check.ts';
export { installPackages } from './install.ts';
export { renderJson } from './json.ts';
export { runChecks } from './run-checks.ts';
export { lookAround, type Situation, type SituationOptions } from './situation.ts';
export { isUsable, packagesToInstall, renderText } from './text.ts';

/** Every check, in the order in which they are shown. */
export const checkGroups: readonly CheckGroup[] = [
  toolChecks,
  { ...machineChecks, checks: [...machineChecks.checks, namespaceCheck] },
  folderChecks,
  sourceChecks,
  {
    id: 'settings',
    title: 'Settings',
    checks: [builderFileCheck, binariesCheck, policyDirectoryCheck, developmentStateCheck],
  },
  keyBrokerChecks,
];

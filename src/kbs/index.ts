/**
 * The key broker's side: registry, policy, hand-off. policy/ (lint, adopt, trial), client/ (push, check) and dev-kbs/ have
 * faces of their own.
 */
export {
  handoffFiles,
  makeHandoffFolder,
  readHandoffRecord,
  referenceValues,
  writeHandoff,
} from './handoff.ts';
export { type MinimumTcb, policyPath, type WrittenPolicy, writePolicy } from './policy/index.ts';
export { asPrevious, nextResourcePath } from './registry/previous.ts';
export {
  type ImageKind,
  type ImageRecord,
  type LaunchDigestRecord,
  launchDigestsOf,
} from './registry/record.ts';
export {
  addImage,
  type Registry,
  readRegistry,
  registryPath,
  replaceRecord,
  retireImage,
  withdrawImage,
} from './registry/registry.ts';
export { type RvpsMessage, rvpsMessage } from './rvps.ts';

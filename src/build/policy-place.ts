import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { ownHomeFolder } from '../host/home.ts';
import type { MinimumTcb } from '../kbs/index.ts';
import { type BuilderFile, existingPath, outputPath, pathContext } from './builder-file.ts';

/** Where development bundles keep their registry, policy and key broker: apart from everything real. */
export function developmentState(): string {
  const state = process.env.XDG_STATE_HOME;
  return join(
    state?.startsWith('/') ? state : join(ownHomeFolder(), '.local/state'),
    'cvm-builder/development',
  );
}

/** A policy directory, and what builder.yml says of the policy in it. */
export interface PolicyPlace {
  /** Folder of the registry and of policy.rego, absolute; it need not exist. */
  directory: string;
  /** For `writePolicy`. */
  policyOptions: { minTcb: MinimumTcb | undefined; opa: string | undefined };
}

/**
 * Finds the policy directory of production or of development images.
 * @param handoffFolder `handoff/` of the output folder
 * @throws UserError where builder.yml names what cannot be used.
 */
export function policyPlace(
  kind: 'production' | 'development',
  file: BuilderFile,
  handoffFolder: string,
): PolicyPlace {
  const { builder, builderFolder } = file;
  const opa = builder.opa === undefined ? undefined : existingPath(builder.opa, pathContext(builderFolder));
  const policyOptions = { minTcb: minimumTcb(file), opa };
  if (kind === 'development') return { directory: developmentState(), policyOptions };
  const named = builder.policyDirectory;
  if (named !== undefined) return { directory: outputPath(named, pathContext(process.cwd())), policyOptions };
  const shared = '/shared/policy';
  return { directory: existsSync(shared) ? shared : join(handoffFolder, 'policy'), policyOptions };
}

function minimumTcb({ builder: { minTcb } }: BuilderFile): MinimumTcb | undefined {
  const set = Object.entries(minTcb).filter((entry): entry is [string, number] => entry[1] !== undefined);
  return set.length === 0 ? undefined : Object.fromEntries(set);
}

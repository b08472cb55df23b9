import { mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { hasCode, messageOf, UserError } from '../../host/errors.ts';
import { writeFileAtomic } from '../../host/files.ts';
import { readTemplate } from '../../host/template.ts';
import { lockPolicyDirectory, readRegistry } from '../registry/registry.ts';
import { lintPolicy } from './lint.ts';
import { fillPolicy, type MinimumTcb, splitPolicy } from './text.ts';

export type { MinimumTcb } from './text.ts';

/** Absolute path of a policy directory's resource policy. */
export function policyPath(directory: string): string {
  return join(directory, 'policy.rego');
}

export interface WritePolicyOptions {
  minTcb?: MinimumTcb | undefined;
  signal?: AbortSignal | undefined;
}

/**
 * Brings a directory's policy.rego up to date with its registry: the part between the marks is replaced, everything
 * else stays byte for byte; without marks the part is appended; without a file a whole policy is written.
 * @returns the file, its text, whether it changed, and warnings about rules that are not ours.
 * @throws UserError where the file's other rules would make ours unsafe or unheard (see {@link lintPolicy}).
 */
export async function writePolicy(
  directory: string,
  options: WritePolicyOptions = {},
): Promise<{ path: string; text: string; changed: boolean; warnings: string[] }> {
  await mkdir(directory, { recursive: true });
  await using _lock = await lockPolicyDirectory(directory, options.signal);
  const path = policyPath(directory);
  const images = (await readRegistry(directory))?.images ?? [];
  const fresh = fillPolicy(await readTemplate('policy.rego'), images, options.minTcb);
  const present = await readPolicy(path);
  const { text, warnings } =
    present === undefined ? { text: fresh, warnings: [] } : merge(path, present, fresh);
  const changed = text !== present;
  if (changed) await writeFileAtomic(path, text, 0o644);
  return { path, text, changed, warnings };
}

/** Text of a policy file, undefined where there is none. Not UTF-8 is refused: it could not be kept byte for byte. */
async function readPolicy(path: string): Promise<string | undefined> {
  let bytes: Buffer;
  try {
    bytes = await readFile(path);
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return undefined;
    throw error;
  }
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch (error) {
    throw new UserError(`cannot update the policy ${path}: it is not UTF-8 text`, { cause: error });
  }
}

/** Puts the managed part of a fresh policy into a present one. */
function merge(path: string, present: string, fresh: string): { text: string; warnings: string[] } {
  const refuse = (cause: string, hint: string) =>
    new UserError(`cannot update the policy ${path}: ${cause}`, { hint });
  let parts: ReturnType<typeof splitPolicy>;
  try {
    parts = splitPolicy(present);
  } catch (error) {
    throw refuse(
      messageOf(error),
      'leave exactly one "# BEGIN cvm-builder" and one "# END cvm-builder" line, or none',
    );
  }
  const { before, managed, after } = parts;
  const { refusals, warnings } = lintPolicy(`${before}\n${after}`);
  if (refusals.length > 0) {
    throw refuse(refusals.join('; '), 'correct it by hand, or move the file away to have a new one written');
  }
  const separator = managed === '' && before !== '' && !before.endsWith('\n') ? '\n' : '';
  const text = before + separator + splitPolicy(fresh).managed + after;
  return { text, warnings: warnings.map((warning) => `${path}: ${warning}`) };
}

import { join } from 'node:path';
import { hasCode, messageOf, UserError } from '../../host/errors.ts';
import { readSmallFile } from '../../host/files.ts';
import { readTemplate } from '../../host/template.ts';
import type { ImageRecord } from '../registry/record.ts';
import { fillPolicy, type MinimumTcb, type PolicyParts, splitPolicy } from './text.ts';

/** Absolute path of a policy directory's resource policy. */
export function policyPath(directory: string): string {
  return join(directory, 'policy.rego');
}

/**
 * Text of a policy file, undefined where there is none.
 * @throws UserError where it is not UTF-8: it could not be kept byte for byte.
 */
export async function readPolicy(path: string): Promise<string | undefined> {
  let bytes: Buffer;
  try {
    bytes = await readSmallFile(path);
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return undefined;
    throw new UserError(`cannot read the policy ${path}: ${messageOf(error)}`, { cause: error });
  }
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch (error) {
    throw new UserError(`cannot read the policy ${path}: it is not UTF-8 text`, { cause: error });
  }
}

/** {@link splitPolicy} for a file: faults of the marks become a sentence with a way out. */
export function partsOf(path: string, text: string): PolicyParts {
  try {
    return splitPolicy(text);
  } catch (error) {
    throw new UserError(`cannot update the policy ${path}: ${messageOf(error)}`, {
      hint: 'leave exactly one "# BEGIN cvm-builder" and one "# END cvm-builder" line, or none',
    });
  }
}

/** A whole new policy for the images of a registry, and the managed part of it. */
export async function freshPolicy(
  images: readonly ImageRecord[],
  minimum?: MinimumTcb,
): Promise<{ text: string; managed: string }> {
  const text = fillPolicy(await readTemplate('policy.rego'), images, minimum);
  return { text, managed: splitPolicy(text).managed };
}

/** The parts with another managed part in place of theirs; appended where they have none. */
export function withManaged({ before, managed, after }: PolicyParts, fresh: string): string {
  const separator = managed === '' && before !== '' && !before.endsWith('\n') ? '\n' : '';
  return before + separator + fresh + after;
}

/** The text outside of the managed part, each line where it was. */
export function withoutManaged({ before, managed, after }: PolicyParts): string {
  return before + managed.replaceAll(/[^\n]/g, '') + after;
}

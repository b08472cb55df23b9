import { isDeepStrictEqual } from 'node:util';
import { failedBy, KbsFailure } from './failure.ts';
import type { Kbs } from './kbs.ts';
import { getReferenceValue, getReferenceValues, getResourcePolicy } from './requests.ts';

/**
 * Compares the policy that a KBS holds with what it was given, where the release shows it (up to v0.18).
 * @returns what could be confirmed, as words that follow *stored, …*.
 * @throws KbsFailure where it holds another policy: no key may follow then.
 */
export async function confirmPolicy(kbs: Kbs, text: string): Promise<string> {
  let stored: Awaited<ReturnType<typeof getResourcePolicy>>;
  try {
    stored = await getResourcePolicy(kbs);
  } catch (error) {
    // A role may be allowed to write a policy and not to read one.
    if (failedBy(error, 'admin-refused', 'policy-store', 'proxy-auth')) {
      return 'and could not be read back';
    }
    throw error;
  }
  if ('names' in stored) return 'which this release (v0.19 or later) does not show again';
  if (Buffer.from(stored.text).equals(Buffer.from(text))) return 'and read back byte for byte';
  throw new KbsFailure(
    'other-policy',
    `push to the KBS at ${kbs.url}`,
    'it holds another policy than the one just stored',
    'somebody else stores a policy there at the same time: agree on one policy directory, then push again',
  );
}

/**
 * Compares the reference values that a KBS holds with what it was given, by whichever of the two ways it has.
 * @returns a warning, or undefined. Releases differ much here and no key depends on it, so that nothing is
 * thrown.
 */
export async function confirmReferenceValues(
  kbs: Kbs,
  values: Readonly<Record<string, unknown>>,
): Promise<string | undefined> {
  const name = 'snp_launch_measurement';
  let held: unknown;
  try {
    held = (await getReferenceValues(kbs))[name];
  } catch (error) {
    if (!(error instanceof KbsFailure)) throw error;
  }
  try {
    held ??= await getReferenceValue(kbs, name);
  } catch (error) {
    if (error instanceof KbsFailure) return undefined;
    throw error;
  }
  if (isDeepStrictEqual(held, values[name])) return undefined;
  return `the KBS at ${kbs.url} took the reference values, but shows others under ${name}`;
}

import { UserError } from '../../host/errors.ts';
import { check } from './check.ts';
import type { Finding, FindingId } from './finding.ts';
import type { Kbs } from './kbs.ts';

/** Findings by which a KBS would hand keys to people it should not. What cannot be told counts as found. */
const unsafe: readonly FindingId[] = ['forged-token', 'open-administration'];
/** Findings that no option waives: nothing could be pushed. */
const hopeless: readonly FindingId[] = ['connection', 'not-a-kbs', 'no-resources', 'credential'];

export interface SafetyOptions {
  /** `<repository>/<type>` of the disk keys. */
  resourcePrefix: string;
  /** Go on although keys could be had by forging. */
  acceptInsecure: boolean;
  /** The push itself goes another way: what cannot be reached or told from here is only warned of. */
  fromAside?: boolean;
  warn: (text: string) => void;
}

/**
 * Checks a KBS before a key is sent there, and warns of what else is wrong with it. The stored policy is not
 * judged: it is about to be replaced.
 * @throws UserError with each finding and its remedy.
 */
export async function refuseUnsafe(kbs: Kbs, options: SafetyOptions): Promise<void> {
  const { resourcePrefix, acceptInsecure, fromAside = false, warn } = options;
  const findings = (await check(kbs, { resourcePrefix })).filter(({ id }) => id !== 'stored-policy');
  const blocked = findings.find(({ id, severity }) => severity === 'bad' && hopeless.includes(id));
  if (blocked !== undefined && !fromAside) throw refused(kbs, 'no key can be stored there', [blocked]);
  const counts = fromAside ? ['bad'] : ['bad', 'unknown'];
  const leaks = findings.filter(({ id, severity }) => unsafe.includes(id) && counts.includes(severity));
  if (leaks.length > 0 && !acceptInsecure) {
    const hint = 'correct the KBS as said above, or accept the danger with --accept-insecure-kbs';
    throw refused(kbs, 'keys would not be safe there', leaks, hint);
  }
  for (const { id, severity, what, remedy } of findings) {
    const untold = severity === 'unknown' && unsafe.includes(id);
    if (severity === 'bad' || severity === 'warn' || untold)
      warn(remedy === undefined ? what : `${what}. Remedy: ${remedy}`);
  }
}

function refused(kbs: Kbs, cause: string, findings: readonly Finding[], hint?: string): UserError {
  const details = findings.flatMap(({ what, remedy }) => [what, ...(remedy ? [`remedy: ${remedy}`] : [])]);
  return new UserError(`cannot push to the KBS at ${kbs.url}: ${cause}`, {
    details,
    ...(hint === undefined ? {} : { hint }),
  });
}

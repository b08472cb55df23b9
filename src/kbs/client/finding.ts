/** What a check can find; each id at most once in a report. */
export type FindingId =
  | 'connection'
  | 'not-a-kbs'
  | 'no-resources'
  | 'unencrypted'
  | 'clock'
  | 'forged-token'
  | 'open-administration'
  | 'attestation-policy'
  | 'credential'
  | 'stored-policy'
  | 'release';

/** One thing that a check found out, or could not: `unknown`. */
export interface Finding {
  id: FindingId;
  severity: 'bad' | 'warn' | 'ok' | 'unknown';
  /** A sentence without its full stop. */
  what: string;
  /** What to do, where there is something to do. */
  remedy?: string;
}

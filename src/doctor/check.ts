import type { Situation } from './situation.ts';

/**
 * How a check came out: as it should be; worth knowing; something is impaired; a build on this machine would fail.
 */
export type Status = 'ok' | 'info' | 'warning' | 'problem';

/** What a check found. All texts are for people: one line each, and possibly with text from outside in them. */
export interface Outcome {
  status: Status;
  /** Completes the check's title. */
  says: string;
  /** What to do, a command where there is one. */
  hint?: string;
  /** Further lines, such as the mistakes of a file. */
  details?: readonly string[];
  /** Packages that would help, for `--fix`. */
  packages?: readonly string[];
  /** The same for programs; the names are part of the JSON output and stay as they are. */
  facts?: Readonly<Record<string, string | number | boolean | readonly string[]>>;
}

/** What a check works with. */
export interface CheckContext {
  situation: Situation;
  /** Aborted when the check's time is up, and when everything stops. */
  signal: AbortSignal;
}

/** One question about this machine. */
export interface Check {
  /** Stable name, `<group>.<subject>`, part of the JSON output. */
  id: string;
  title: string;
  /** Milliseconds; 20 000 unless told otherwise. */
  timeLimit?: number;
  /** A `UserError` thrown counts as a problem with its message and hint. */
  run(context: CheckContext): Promise<Outcome>;
}

/** Checks of one subject. */
export interface CheckGroup {
  id: string;
  title: string;
  checks: readonly Check[];
}

/** A check and what it found. */
export interface Result extends Outcome {
  id: string;
  group: string;
  title: string;
}

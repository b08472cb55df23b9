import type { Explanation } from './explanations.ts';

/** A code that a boot log holds. */
export interface LoggedCode {
  code: string;
  /** Lines of the log where it was first and last seen, from 1. */
  first: number;
  last: number;
  /** How often it stands there. */
  times: number;
  /** True where the VM could not go on because of it. */
  fatal: boolean;
}

/** InitApp's lines and those of the units: seconds since the start in brackets, then the words. */
const line = /^\[ *\d+(?:\.\d+)?\] (FAILED )?(E\d\d)\b/;

/** Codes in the lines of a boot log, in the order of their last appearance. There are at most a hundred, whatever the log holds. */
export function loggedCodes(lines: Iterable<string>): LoggedCode[] {
  const found = new Map<string, LoggedCode>();
  let number = 0;
  for (const text of lines) {
    number += 1;
    const [, failed, code] = line.exec(text) ?? [];
    if (code === undefined) continue;
    const known = found.get(code) ?? { code, first: number, last: number, times: 0, fatal: false };
    // Taken out and put in again: the last one is what the VM ended with.
    found.delete(code);
    found.set(code, {
      ...known,
      last: number,
      times: known.times + 1,
      fatal: known.fatal || failed !== undefined,
    });
  }
  return [...found.values()];
}

/** Paragraphs for people: where each known code stands and what docs/troubleshooting.md says of it. */
export function causesText(
  name: string,
  codes: readonly LoggedCode[],
  explanations: ReadonlyMap<string, Explanation>,
): string {
  return codes
    .flatMap(({ code, first, last, times, fatal }) => {
      const known = explanations.get(code);
      if (known === undefined) return [];
      const where = times === 1 ? `line ${first}` : `lines ${first} to ${last}, ${times} times`;
      const what = fatal ? 'the VM stopped' : 'a warning';
      const body = known.text
        .split('\n')
        .map((text) => `  ${text}`.trimEnd())
        .join('\n');
      return [`${code}: ${known.title} (${name}, ${where}; ${what})\n\n${body}\n`];
    })
    .join('\n');
}

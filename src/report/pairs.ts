import type { Output } from './output.ts';
import { clip } from './text.ts';

/** What lines are for; the less it matters, the earlier it has to stop. */
export type Purpose = keyof typeof ceilings;

/**
 * The caller may read one line of standard output, then one of standard error, in turn, each blocking.
 * Whatever one stream holds then waits in its pipe, whose 64 KiB must never fill up; a kernel short of pipe
 * memory gives less. So each stream stays below 16 KiB, and each purpose stops at its own ceiling, in bytes.
 */
const ceilings = { progress: 5 << 10, note: 7 << 10, warning: 10 << 10, step: 13 << 10, end: 16 << 10 };

/** Longest line in bytes. */
const longest = { progress: 120, note: 240, warning: 480, step: 200, end: 200 };

/**
 * Writes one line to each stream at a time, standard output first, so that a reader in turns never waits in vain.
 * Where both streams are one file, the line for standard error says it all and the other is left out.
 */
export class Pairs {
  readonly #out: Output;
  readonly #err: Output;
  readonly #oneFile: boolean;
  readonly #dropped = new Map<Purpose, number>();

  constructor(out: Output, err: Output, oneFile: boolean) {
    this.#out = out;
    this.#err = err;
    this.#oneFile = oneFile;
  }

  /** Writes both lines, or neither where one of them would pass the ceiling. */
  write(purpose: Purpose, out: string, err: string): void {
    const lines = [out, err].map((line) => `${clip(line, longest[purpose] - 1)}\n`) as [string, string];
    const ceiling = ceilings[purpose];
    const fits = (output: Output, line: string) => output.bytes + Buffer.byteLength(line) <= ceiling;
    if (!fits(this.#out, lines[0]) || !fits(this.#err, lines[1])) {
      this.#dropped.set(purpose, this.dropped(purpose) + 1);
      return;
    }
    if (!this.#oneFile) this.#out.write(lines[0]);
    this.#err.write(lines[1]);
  }

  /** How many pairs of a purpose were left out. */
  dropped(purpose: Purpose): number {
    return this.#dropped.get(purpose) ?? 0;
  }

  /** Bytes that standard error may still take. */
  get room(): number {
    return Math.max(0, ceilings.end - this.#err.bytes);
  }
}

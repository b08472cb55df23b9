import type { GraphEvent } from '../graph/events.ts';
import type { Output } from './output.ts';
import { Pairs, type Purpose } from './pairs.ts';
import type { Renderer } from './renderer.ts';
import { clip, duration, oneLine, percent, progressText } from './text.ts';

/** Seconds without a line before a task's progress is shown; doubled at each line, up to the second. */
const quiet = { first: 5, longest: 60 };

/**
 * Plain lines for logs and for callers that read through pipes; see {@link Pairs} for the form. Standard
 * output carries only titles, times and shares: text that comes from outside (names in warnings, tools'
 * words) goes to standard error, so it can never pass for the line that says a bundle is ready.
 */
export class PlainRenderer implements Renderer {
  readonly #out: Output;
  readonly #err: Output;
  readonly #pairs: Pairs;
  readonly #now: () => number;
  readonly #begin: number;
  readonly #oneFile: boolean;
  readonly #progress = new Map<string, { due: number; interval: number }>();

  /**
   * @param now seconds on a clock that never goes back
   * @param oneFile whether both outputs end in the same file, pipe or terminal
   */
  constructor(out: Output, err: Output, now: () => number, oneFile = false) {
    this.#out = out;
    this.#err = err;
    this.#pairs = new Pairs(out, err, oneFile);
    this.#now = now;
    this.#begin = now();
    this.#oneFile = oneFile;
  }

  event(event: GraphEvent): void {
    if (event.type === 'start') {
      this.#progress.set(event.task, { due: this.#now() + quiet.first, interval: quiet.first });
    }
    if (event.type === 'progress' && !this.#isDue(event.task)) return;
    const lines = linesOf(event);
    if (lines !== undefined) this.#pair(...lines);
  }

  warn(text: string): void {
    this.#pair('warning', 'warning', `warning: ${oneLine(text)}`);
  }

  note(text: string): void {
    this.#pair('note', 'note', oneLine(text));
  }

  async close(): Promise<void> {
    const dropped = this.#pairs.dropped('warning');
    if (dropped > 0)
      this.#pair('end', 'warnings left out', `warning: ${dropped} more warnings are not shown`);
  }

  result(line: string): void {
    this.#out.write(`${line}\n`);
    if (!this.#oneFile) this.#err.write(`${this.#stamp()} finished\n`);
  }

  failure(text: string): void {
    if (!this.#oneFile) this.#out.write(`${this.#stamp()} failed\n`);
    this.#err.write(`${clip(text, Math.max(200, this.#pairs.room - 1))}\n`);
  }

  #isDue(task: string): boolean {
    const state = this.#progress.get(task);
    const now = this.#now();
    if (state === undefined || now < state.due) return false;
    state.interval = Math.min(quiet.longest, state.interval * 2);
    state.due = now + state.interval;
    return true;
  }

  #pair(purpose: Purpose, out: string, err: string): void {
    const stamp = this.#stamp();
    this.#pairs.write(purpose, `${stamp} ${out}`, `${stamp} ${err}`);
  }

  /** Seconds since the start of the report: `[  12.3]`. */
  #stamp(): string {
    return `[${(this.#now() - this.#begin).toFixed(1).padStart(6)}]`;
  }
}

/** What is said about an event: the purpose, the line for standard output, the line for standard error. */
function linesOf(event: GraphEvent): [Purpose, string, string] | undefined {
  switch (event.type) {
    case 'start':
      return ['step', `${event.title} ...`, `${event.title} ...`];
    case 'progress': {
      const words = progressText(event.progress);
      return ['progress', `${event.title}: ${percent(event.progress) ?? '...'}`, `${event.title}: ${words}`];
    }
    case 'note':
      return ['note', `${event.title}: note`, `${event.title}: ${oneLine(event.text)}`];
    case 'warn':
      return ['warning', `${event.title}: warning`, `warning: ${oneLine(event.text)}`];
    case 'done': {
      const how = `${event.title}: ${event.cached ? 'cached' : `done in ${duration(event.seconds)}`}`;
      return ['step', how, event.detail === undefined ? how : `${how} (${oneLine(event.detail)})`];
    }
    case 'fail': {
      const how = `${event.title}: failed after ${duration(event.seconds)}`;
      return ['step', how, how];
    }
    case 'cancel':
      return ['step', `${event.title}: stopped`, `${event.title}: stopped`];
    case 'cleanup-failed':
      return ['warning', 'clean-up: warning', `warning: cannot clean up: ${oneLine(event.error.message)}`];
    default:
      return undefined;
  }
}

import type { DefaultRenderer, SimpleRenderer } from 'listr2';
import { Listr, ListrTaskState, type ListrTaskWrapper } from 'listr2';
import type { GraphEvent } from '../graph/events.ts';
import type { Output } from './output.ts';
import type { Renderer } from './renderer.ts';
import { duration, oneLine, progressText } from './text.ts';

type Wrapper = ListrTaskWrapper<unknown, typeof DefaultRenderer, typeof SimpleRenderer>;

/** Least milliseconds between two redraws for one task's progress. */
const redraw = 100;

/** A line of the list. listr2 starts its function when it likes; the row keeps what the engine said meanwhile. */
interface Row {
  title: string;
  state: 'waiting' | 'running' | 'done' | 'failed' | 'stopped';
  wrapper: Wrapper | undefined;
  ended: PromiseWithResolvers<void>;
  lastProgress: number;
}

/** A live list of the tasks on a terminal, drawn by listr2. Warnings and notes follow below it, on standard error. */
export class TerminalRenderer implements Renderer {
  readonly #out: Output;
  readonly #err: Output;
  readonly #rows = new Map<string, Row>();
  #later: string[] = [];
  #drawing: Promise<unknown> | undefined;

  constructor(out: Output, err: Output) {
    this.#out = out;
    this.#err = err;
  }

  event(event: GraphEvent): void {
    switch (event.type) {
      case 'begin':
        this.#begin(event.tasks);
        break;
      case 'start':
        this.#become(event.task, 'running', event.title);
        break;
      case 'progress':
        this.#showProgress(event.task, progressText(event.progress));
        break;
      case 'note':
        this.note(`${event.title}: ${event.text}`);
        break;
      case 'warn':
        this.warn(event.text);
        break;
      case 'done':
        this.#become(event.task, 'done', `${event.title} [${outcome(event)}]`);
        break;
      case 'fail':
        this.#become(event.task, 'failed', `${event.title} [failed after ${duration(event.seconds)}]`);
        break;
      case 'cancel':
        this.#become(event.task, 'stopped', `${event.title} [stopped]`);
        break;
      case 'cleanup-failed':
        this.warn(`cannot clean up: ${event.error.message}`);
        break;
      case 'end':
        for (const row of this.#rows.values()) row.ended.resolve();
    }
  }

  warn(text: string): void {
    this.#later.push(`warning: ${oneLine(text)}`);
  }

  note(text: string): void {
    this.#later.push(`note: ${oneLine(text)}`);
  }

  async close(): Promise<void> {
    for (const row of this.#rows.values()) row.ended.resolve();
    this.#rows.clear();
    await this.#drawing;
    this.#drawing = undefined;
    for (const line of this.#later) this.#err.write(`${line}\n`);
    this.#later = [];
  }

  result(line: string): void {
    this.#out.write(`${line}\n`);
  }

  failure(text: string): void {
    this.#err.write(`${text}\n`);
  }

  #begin(tasks: readonly { name: string; title: string }[]): void {
    this.#rows.clear();
    for (const { name, title } of tasks) {
      const ended = Promise.withResolvers<void>();
      this.#rows.set(name, { title, state: 'waiting', wrapper: undefined, ended, lastProgress: 0 });
    }
    const list = new Listr<unknown, typeof DefaultRenderer, typeof SimpleRenderer>(
      [...this.#rows.values()].map((row) => ({
        title: row.title,
        task: async (_, wrapper) => {
          row.wrapper = wrapper;
          apply(row);
          await row.ended.promise;
          // What listr2 shows as the failure; the error itself is printed below the list.
          if (row.state === 'failed') throw new Error(row.title);
        },
      })),
      {
        concurrent: true,
        // The engine decides what stops, and signals are handled in one place.
        exitOnError: false,
        registerSignalListeners: false,
        rendererOptions: {
          collapseErrors: false,
          showErrorMessage: false,
          collapseSkips: true,
          formatOutput: 'truncate',
        },
      },
    );
    // Of two runs in a row the second list waits for the first to leave the screen.
    this.#drawing = Promise.resolve(this.#drawing).then(() => list.run());
    // A failure to draw is met at close(), not as an unhandled rejection meanwhile.
    this.#drawing.catch(() => {});
  }

  #become(task: string, state: Row['state'], title: string): void {
    const row = this.#rows.get(task);
    if (row === undefined) return;
    row.state = state;
    row.title = title;
    apply(row);
    if (state !== 'running') row.ended.resolve();
  }

  #showProgress(task: string, text: string): void {
    const row = this.#rows.get(task);
    const now = Date.now();
    if (row?.wrapper === undefined || now - row.lastProgress < redraw) return;
    row.lastProgress = now;
    row.wrapper.output = text;
  }
}

function outcome({ cached, detail, seconds }: GraphEvent & { type: 'done' }): string {
  const how = cached ? 'cached' : duration(seconds);
  return detail === undefined ? how : `${how}: ${oneLine(detail)}`;
}

/** Carries a row's state over to listr2, which counts a task as started as soon as its function runs. */
function apply({ wrapper, state, title }: Row): void {
  if (wrapper === undefined) return;
  wrapper.title = title;
  if (state === 'waiting') wrapper.task.state$ = ListrTaskState.WAITING;
  else if (state === 'stopped') wrapper.skip(title);
  else wrapper.task.state$ = ListrTaskState.STARTED;
}

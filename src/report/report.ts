import { performance } from 'node:perf_hooks';
import type { WriteStream } from 'node:tty';
import type { Listener } from '../graph/events.ts';
import { renderError } from './error.ts';
import { Output } from './output.ts';
import { PlainRenderer } from './plain.ts';
import type { Renderer } from './renderer.ts';
import { isInteractive, isOneFile, mayColour } from './select.ts';
import { oneLine } from './text.ts';

/** What a command tells its user. Closed streams never throw. */
export interface Report {
  /** For the `events` of a graph's run. */
  readonly events: Listener;
  /** A warning that belongs to no task. */
  warn(text: string): void;
  /** A piece of news that belongs to no task. */
  note(text: string): void;
  /** Ends the display and writes the line as the very last one on standard output. */
  result(line: string): Promise<void>;
  /** Ends the display and writes a table as the last words on standard output; what failed to standard error, each under a heading. */
  summary(table: string, failures: readonly { heading: string; error: unknown }[]): Promise<void>;
  /** Ends the display, writes the error to standard error, and returns the status to exit with. */
  fail(thrown: unknown): Promise<number>;
}

/** The streams and the environment to report with; the process's own unless told otherwise. */
export interface ReportOptions {
  stdout?: NodeJS.WriteStream;
  stderr?: NodeJS.WriteStream;
  env?: NodeJS.ProcessEnv;
}

/** A live list on a terminal, plain lines elsewhere. */
export async function openReport(options: ReportOptions = {}): Promise<Report> {
  const { stdout = process.stdout, stderr = process.stderr, env = process.env } = options;
  const out = new Output(stdout);
  const err = new Output(stderr);
  const renderer = await chooseRenderer(out, err, {
    interactive: isInteractive(stdout as WriteStream, env),
    oneFile: isOneFile(stdout as { fd?: unknown }, stderr as { fd?: unknown }),
  });
  let ended = false;
  const once = async (last: () => void) => {
    if (ended) return;
    ended = true;
    await renderer.close();
    last();
  };
  return {
    events: (event) => {
      if (!ended) renderer.event(event);
    },
    warn: (text) => {
      if (!ended) renderer.warn(text);
    },
    note: (text) => {
      if (!ended) renderer.note(text);
    },
    result: (line) => once(() => renderer.result(line)),
    async summary(table, failures) {
      const colour = mayColour(stderr, env);
      const rendered = failures.map(({ heading, error }) => ({ heading, ...renderError(error, { colour }) }));
      const texts = rendered.map(({ heading, text }) =>
        heading === '' ? text : `${oneLine(heading)}:\n${text}`,
      );
      await once(() => {
        if (texts.length > 0) renderer.failure(texts.join('\n'));
        renderer.result(table);
      });
    },
    async fail(thrown) {
      const { text, status } = renderError(thrown, { colour: mayColour(stderr, env) });
      await once(() => renderer.failure(text));
      return status;
    },
  };
}

async function chooseRenderer(
  out: Output,
  err: Output,
  { interactive, oneFile }: { interactive: boolean; oneFile: boolean },
): Promise<Renderer> {
  if (!interactive) return new PlainRenderer(out, err, () => performance.now() / 1000, oneFile);
  // Loaded only here: listr2 costs start-up time that plain runs need not pay.
  const { TerminalRenderer } = await import('./terminal.ts');
  return new TerminalRenderer(out, err);
}

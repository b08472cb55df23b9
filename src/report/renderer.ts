import type { GraphEvent } from '../graph/events.ts';

/** A way of showing a run. */
export interface Renderer {
  event(event: GraphEvent): void;
  /** A warning that belongs to no task. */
  warn(text: string): void;
  /** A piece of news that belongs to no task. */
  note(text: string): void;
  /** Ends the display; nothing is shown after it. */
  close(): Promise<void>;
  /** The last line of standard output; after {@link close}. */
  result(line: string): void;
  /** The last words on standard error, lines as they are; after {@link close}. */
  failure(text: string): void;
}

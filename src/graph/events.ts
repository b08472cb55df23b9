/** How far a task is: words, or a count of something. */
export type Progress = string | { done: number; total: number; unit: string };

/**
 * What a run tells, in order: one `begin`; then for every task that is run `start`, any number of
 * `progress`, `note` and `warn`, and one of `done`, `fail`, `cancel`; one `end` after clean-up, on every
 * way out. `task` is the task's name; `seconds` is how long the task or the run took.
 */
export type GraphEvent =
  | { type: 'begin'; tasks: readonly { name: string; title: string }[] }
  | { type: 'start'; task: string; title: string }
  | { type: 'progress'; task: string; title: string; progress: Progress }
  | { type: 'note'; task: string; title: string; text: string }
  | { type: 'warn'; task: string; title: string; text: string }
  | { type: 'done'; task: string; title: string; seconds: number; cached: boolean; detail?: string }
  | { type: 'fail'; task: string; title: string; seconds: number; error: Error }
  /** The task ended because something else failed or the run was interrupted. */
  | { type: 'cancel'; task: string; title: string; seconds: number }
  /** A clean-up step failed while another error was on its way out. */
  | { type: 'cleanup-failed'; error: Error }
  | { type: 'end'; ok: boolean; seconds: number };

/** Receives the events of a run, synchronously. What it throws fails the run. */
export type Listener = (event: GraphEvent) => void;

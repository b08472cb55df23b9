import type { Progress } from './events.ts';

declare const outputType: unique symbol;

/** A node of a graph. `Output` is what its run resolves to; it exists for the type checker only. */
export interface Task<Output = unknown> {
  readonly name: string;
  readonly title: string;
  readonly needs: Needs;
  readonly [outputType]?: () => Output;
}

/** Tasks by the name under which the dependent sees their outputs. */
export type Needs = Readonly<Record<string, Task>>;

/** The outputs of {@link Needs}, under the same names. */
export type Outputs<N extends Needs> = {
  readonly [Key in keyof N]: N[Key] extends Task<infer Output> ? Output : never;
};

/** What a task's `cached` gets. */
export interface PlanContext<Options> {
  readonly options: Options;
  readonly signal: AbortSignal;
}

/** What a task's `run` gets. Calls after the task has ended are ignored. */
export interface TaskContext<Options> {
  readonly options: Options;
  /** Aborted when another task fails or the run is interrupted; the reason is that first error. */
  readonly signal: AbortSignal;
  /**
   * Resources of the whole run (work folders, key files), shared by all tasks. Disposed in reverse order
   * once every task has ended, on success, failure and interruption alike.
   */
  readonly scope: AsyncDisposableStack;
  progress(progress: Progress): void;
  note(text: string): void;
  warn(text: string): void;
  /** Says that the output came from the cache, whole or in the way `detail` tells. */
  usedCache(detail?: string): void;
}

/**
 * What `cached` answers: the output as `run` would give it, where it is there already; `false` where it
 * has to be made; `undefined` where that cannot be told yet, e.g. because an input is not known.
 */
export type CacheAnswer<Output> = Promise<Output | false | undefined>;

/** A task with inputs. */
export interface TaskDefinition<Options, N extends Needs, Output> {
  /** A noun phrase for people: `Base system`. */
  title: string;
  needs: N;
  /** For the plan only: looks, never makes. Gets the inputs that are known without running anything. */
  cached?: (needs: Partial<Outputs<N>>, context: PlanContext<Options>) => CacheAnswer<NoInfer<Output>>;
  run: (needs: Outputs<N>, context: TaskContext<Options>) => Promise<Output> | Output;
}

/** A task without inputs. */
export interface SourceDefinition<Options, Output> {
  title: string;
  needs?: undefined;
  cached?: (context: PlanContext<Options>) => CacheAnswer<NoInfer<Output>>;
  run: (context: TaskContext<Options>) => Promise<Output> | Output;
}

/** A task as the engine sees it: both kinds of definition in one shape, types erased. */
export interface Node<Options> {
  readonly task: Task;
  readonly cached:
    | ((needs: Record<string, unknown>, context: PlanContext<Options>) => CacheAnswer<unknown>)
    | undefined;
  readonly run: (needs: Record<string, unknown>, context: TaskContext<Options>) => unknown;
}

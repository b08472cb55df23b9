import type { Listener } from './events.ts';
import { type PlanRow, planNodes } from './plan.ts';
import { runNodes } from './run.ts';
import type { Needs, Node, Outputs, SourceDefinition, Task, TaskDefinition } from './task.ts';

/** What a plan is asked for. */
export interface PlanRequest<Options> {
  options: Options;
  /** The tasks whose outputs are wanted; only they and what they need count. */
  targets: Needs;
  signal?: AbortSignal | undefined;
}

/** What a run is asked for. */
export interface RunRequest<Options, Targets extends Needs> extends PlanRequest<Options> {
  targets: Targets;
  /** Tasks that may run at once; the number of processors unless told otherwise. */
  concurrency?: number;
  /** Outputs that are there already, of an earlier run: these tasks are not run, nor what only they need. */
  given?: ReadonlyMap<Task, unknown> | undefined;
  events?: Listener | undefined;
}

/**
 * A graph of typed tasks. A task can only need tasks defined before it, so the order of definition is a
 * topological order and a circle cannot be written down.
 */
export interface Graph<Options> {
  /** Defines a task. @throws Error where the name is taken or a need is not a task of this graph. */
  task<Output>(name: string, definition: SourceDefinition<Options, Output>): Task<Output>;
  task<N extends Needs, Output>(name: string, definition: TaskDefinition<Options, N, Output>): Task<Output>;

  /** The tasks that a run would go through, in topological order, without running any. */
  plan(request: PlanRequest<Options>): Promise<PlanRow[]>;

  /**
   * Runs the targets and what they need, each task as soon as its inputs are ready. The first failure, or
   * the caller's signal, aborts the others; once they have unwound and the scope is disposed, that first
   * error is rethrown as it is.
   */
  run<Targets extends Needs>(request: RunRequest<Options, Targets>): Promise<Outputs<Targets>>;
}

/** An empty graph whose tasks see `Options`. */
export function graph<Options>(): Graph<Options> {
  const nodes = new Map<Task, Node<Options>>();

  const known = (task: Task, wanted: string): Task => {
    if (!nodes.has(task)) throw new Error(`${wanted} is not a task of this graph`);
    return task;
  };

  const define = (name: string, definition: Definition<Options>): Task => {
    if ([...nodes.keys()].some((task) => task.name === name)) {
      throw new Error(`task ${name} is defined twice`);
    }
    const needs: Needs = Object.freeze({ ...definition.needs });
    for (const [key, need] of Object.entries(needs)) known(need, `${key}, needed by ${name},`);
    const task: Task = Object.freeze({ name, title: definition.title, needs });
    nodes.set(task, nodeOf(task, definition));
    return task;
  };

  /** The targets and everything below them that is not given, in order of definition. */
  const select = (targets: Needs, given?: ReadonlyMap<Task, unknown>): Node<Options>[] => {
    const wanted = new Set<Task>();
    const add = (task: Task) => {
      if (wanted.has(task) || given?.has(task)) return;
      wanted.add(task);
      Object.values(task.needs).forEach(add);
    };
    for (const [key, target] of Object.entries(targets)) add(known(target, `target ${key}`));
    return [...nodes.values()].filter((node) => wanted.has(node.task));
  };

  return {
    task: define as Graph<Options>['task'],
    plan: async (request) => planNodes(select(request.targets), request),
    async run<Targets extends Needs>(request: RunRequest<Options, Targets>) {
      for (const task of request.given?.keys() ?? []) known(task, `${task.name}, which is given,`);
      const outputs = await runNodes(select(request.targets, request.given), request);
      const entries = Object.entries(request.targets).map(([key, task]) => [key, outputs.get(task)]);
      return Object.fromEntries(entries) as Outputs<Targets>;
    },
  };
}

type Definition<Options> = SourceDefinition<Options, unknown> | TaskDefinition<Options, Needs, unknown>;

function nodeOf<Options>(task: Task, definition: Definition<Options>): Node<Options> {
  if (definition.needs !== undefined) return { task, cached: definition.cached, run: definition.run };
  const { cached, run } = definition;
  return {
    task,
    cached: cached && ((_, context) => cached(context)),
    run: (_, context) => run(context),
  };
}

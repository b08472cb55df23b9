import type { Node, Task } from './task.ts';

/** One task of a plan. */
export interface PlanRow {
  name: string;
  title: string;
  /** Names of the tasks it needs. */
  needs: string[];
  /** Whether its output is there already; undefined where only a run can tell. */
  cached: boolean | undefined;
}

/**
 * Asks every task in turn whether its output is there already. A task's answer, where it is the output,
 * is handed to those that need it, so that knowledge flows down the graph as it would in a run.
 */
export async function planNodes<Options>(
  nodes: readonly Node<Options>[],
  request: { options: Options; signal?: AbortSignal | undefined },
): Promise<PlanRow[]> {
  const signal = request.signal ?? new AbortController().signal;
  const known = new Map<Task, unknown>();
  const rows: PlanRow[] = [];
  for (const { task, cached } of nodes) {
    signal.throwIfAborted();
    const needs = Object.entries(task.needs).filter(([, need]) => known.has(need));
    const inputs = Object.fromEntries(needs.map(([key, need]) => [key, known.get(need)]));
    // A task without `cached` is made anew by every run.
    const answer = cached === undefined ? false : await cached(inputs, { options: request.options, signal });
    if (answer !== false && answer !== undefined) known.set(task, answer);
    rows.push({
      name: task.name,
      title: task.title,
      needs: Object.values(task.needs).map((need) => need.name),
      cached: answer === undefined ? undefined : answer !== false,
    });
  }
  return rows;
}

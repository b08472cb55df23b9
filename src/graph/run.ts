import { availableParallelism } from 'node:os';
import { performance } from 'node:perf_hooks';
import type { GraphEvent, Listener } from './events.ts';
import type { Node, Task, TaskContext } from './task.ts';

interface RunOptions<Options> {
  options: Options;
  concurrency?: number;
  signal?: AbortSignal | undefined;
  events?: Listener | undefined;
  given?: ReadonlyMap<Task, unknown> | undefined;
}

/**
 * Runs nodes, given in topological order, and returns their outputs beside those that were given. The first error is the reason of the
 * run's own abort signal: whatever tasks throw after it is a consequence and is dropped.
 */
export async function runNodes<Options>(
  nodes: readonly Node<Options>[],
  { options, concurrency = availableParallelism(), signal: outer, events, given }: RunOptions<Options>,
): Promise<ReadonlyMap<Task, unknown>> {
  if (!Number.isInteger(concurrency) || concurrency < 1) {
    throw new RangeError(`concurrency must be a whole number above 0, not ${concurrency}`);
  }
  outer?.throwIfAborted();

  const stop = new AbortController();
  const scope = new AsyncDisposableStack();
  const elapsed = stopwatch();
  const emit = (event: GraphEvent) => {
    try {
      events?.(event);
    } catch (error) {
      stop.abort(asError(error));
    }
  };

  const onInterrupt = () => stop.abort(asError(outer?.reason));
  outer?.addEventListener('abort', onInterrupt, { once: true });
  emit({ type: 'begin', tasks: nodes.map(({ task }) => ({ name: task.name, title: task.title })) });
  const outputs = new Map(given);
  await schedule(nodes, { concurrency, signal: stop.signal, outputs }, (node, inputs) =>
    runNode(node, inputs, { options, stop, scope, emit }),
  );
  // From here on the outcome stands: an interruption could only cut clean-up short.
  outer?.removeEventListener('abort', onInterrupt);

  for (const error of await cleanUp(scope)) {
    if (stop.signal.aborted) emit({ type: 'cleanup-failed', error });
    else stop.abort(error);
  }
  emit({ type: 'end', ok: !stop.signal.aborted, seconds: elapsed() });
  stop.signal.throwIfAborted();
  return outputs;
}

/** Starts nodes as soon as their inputs are among the outputs; after an abort starts none and waits for the rest. */
async function schedule<Options>(
  nodes: readonly Node<Options>[],
  { concurrency, signal, outputs }: { concurrency: number; signal: AbortSignal; outputs: Map<Task, unknown> },
  start: (node: Node<Options>, inputs: Record<string, unknown>) => Promise<{ output: unknown } | undefined>,
): Promise<void> {
  const waiting = new Set(nodes);
  const running = new Set<Promise<void>>();
  for (;;) {
    for (const node of waiting) {
      if (signal.aborted || running.size >= concurrency) break;
      const needs = Object.entries(node.task.needs);
      if (!needs.every(([, need]) => outputs.has(need))) continue;
      waiting.delete(node);
      const inputs = Object.fromEntries(needs.map(([key, need]) => [key, outputs.get(need)]));
      const ended = start(node, inputs).then((result) => {
        if (result !== undefined) outputs.set(node.task, result.output);
        running.delete(ended);
      });
      running.add(ended);
    }
    if (running.size === 0) return;
    await Promise.race(running);
  }
}

interface Surroundings<Options> {
  options: Options;
  stop: AbortController;
  scope: AsyncDisposableStack;
  emit: Listener;
}

/** Runs one task to its end and tells how it went. Never rejects: a failure aborts the run instead. */
async function runNode<Options>(
  { task, run }: Node<Options>,
  inputs: Record<string, unknown>,
  { options, stop, scope, emit }: Surroundings<Options>,
): Promise<{ output: unknown } | undefined> {
  const label = { task: task.name, title: task.title };
  const elapsed = stopwatch();
  let ended = false;
  let cached: { detail?: string } | undefined;
  const tell = (event: GraphEvent) => {
    if (!ended) emit(event);
  };
  const context: TaskContext<Options> = {
    options,
    signal: stop.signal,
    scope,
    progress: (progress) => tell({ type: 'progress', ...label, progress }),
    note: (text) => tell({ type: 'note', ...label, text }),
    warn: (text) => tell({ type: 'warn', ...label, text }),
    usedCache: (detail) => {
      cached = detail === undefined ? {} : { detail };
    },
  };
  emit({ type: 'start', ...label });
  try {
    const output = await run(inputs, context);
    ended = true;
    emit({ type: 'done', ...label, seconds: elapsed(), cached: cached !== undefined, ...cached });
    return { output };
  } catch (thrown) {
    ended = true;
    if (stop.signal.aborted) {
      emit({ type: 'cancel', ...label, seconds: elapsed() });
    } else {
      const error = asError(thrown);
      stop.abort(error);
      emit({ type: 'fail', ...label, seconds: elapsed(), error });
    }
    return undefined;
  }
}

/** Disposes the scope and returns what its steps threw, in the order of the throws. */
async function cleanUp(scope: AsyncDisposableStack): Promise<Error[]> {
  try {
    await scope.disposeAsync();
    return [];
  } catch (thrown) {
    // A stack chains the errors of its steps: the last one outermost, the ones before it "suppressed".
    const errors: Error[] = [];
    let rest: unknown = thrown;
    while (rest instanceof SuppressedError) {
      errors.unshift(asError(rest.error));
      rest = rest.suppressed;
    }
    return [asError(rest), ...errors];
  }
}

function asError(thrown: unknown): Error {
  return thrown instanceof Error ? thrown : new Error(String(thrown), { cause: thrown });
}

/** Seconds since the call. */
function stopwatch(): () => number {
  const begin = performance.now();
  return () => (performance.now() - begin) / 1000;
}

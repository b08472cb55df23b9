import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, expectTypeOf, it } from 'vitest';
import type { GraphEvent } from '../../../src/graph/events.ts';
import { graph } from '../../../src/graph/graph.ts';
import type { Task, TaskContext } from '../../../src/graph/task.ts';
import { UserError } from '../../../src/host/errors.ts';

/** A promise that the test settles, so that no test sleeps to get an order. */
const gate = <T = void>() => Promise.withResolvers<T>();

/** Waits until the run is aborted, then throws as a cancelled tool would. */
const untilAborted = (context: { signal: AbortSignal }) =>
  new Promise<never>((_, reject) => {
    context.signal.addEventListener('abort', () => reject(new Error('tool was killed')), { once: true });
  });

describe('a run', () => {
  it('hands each task the outputs of what it needs, and returns those of the targets', async () => {
    const g = graph<{ site: string }>();
    const base = g.task('base', { title: 'Base', run: (ctx) => `base of ${ctx.options.site}` });
    const layers = g.task('layers', { title: 'Layers', run: async () => [1, 2] });
    const seal = g.task('seal', {
      title: 'Seal',
      needs: { base, layers },
      run: ({ base, layers }) => ({ text: `${base} with ${layers.length}` }),
    });
    const result = await g.run({ options: { site: 'site-1' }, targets: { seal, layers } });
    expect(result).toEqual({ seal: { text: 'base of site-1 with 2' }, layers: [1, 2] });
    expectTypeOf(result.seal).toEqualTypeOf<{ text: string }>();
    expectTypeOf(layers).toEqualTypeOf<Task<number[]>>();
  });

  it('runs only the targets and what they need, each once', async () => {
    const ran: string[] = [];
    const g = graph<void>();
    const a = g.task('a', { title: 'A', run: () => void ran.push('a') });
    const b = g.task('b', { title: 'B', needs: { a }, run: () => void ran.push('b') });
    const c = g.task('c', { title: 'C', needs: { a }, run: () => void ran.push('c') });
    g.task('unwanted', { title: 'U', needs: { a }, run: () => void ran.push('unwanted') });
    const d = g.task('d', { title: 'D', needs: { b, c, a }, run: () => void ran.push('d') });
    await g.run({ options: undefined, targets: { d, again: d } });
    expect(ran.toSorted()).toEqual(['a', 'b', 'c', 'd']);
    expect(ran.at(-1)).toBe('d');
  });

  it('takes outputs that are given, and runs neither their tasks nor what only they need', async () => {
    const ran: string[] = [];
    const g = graph<void>();
    const source = g.task('source', { title: 'S', run: () => void ran.push('source') });
    const a = g.task('a', { title: 'A', needs: { source }, run: () => ran.push('a') });
    const b = g.task('b', { title: 'B', run: () => ran.push('b') });
    const both = g.task('both', { title: 'Both', needs: { a, b }, run: ({ a, b }) => `${a} ${b}` });
    const given = new Map<Task, unknown>([[a, 'of an earlier run']]);
    const result = await g.run({ options: undefined, targets: { both, a }, given });
    expect(result).toEqual({ both: 'of an earlier run 1', a: 'of an earlier run' });
    expect(ran).toEqual(['b']);
    expect(given.size).toBe(1);
  });

  it('refuses an output that is given for a task of another graph', async () => {
    const g = graph<void>();
    const own = g.task('own', { title: 'Own', run: () => 1 });
    const foreign = graph<void>().task('foreign', { title: 'Foreign', run: () => 1 });
    const run = g.run({ options: undefined, targets: { own }, given: new Map([[foreign, 2]]) });
    await expect(run).rejects.toThrow('foreign, which is given, is not a task of this graph');
  });

  it('starts a task as soon as its own inputs are ready, not when a whole rank is done', async () => {
    const g = graph<void>();
    const dependentRan = gate();
    const slow = g.task('slow', { title: 'Slow', run: () => dependentRan.promise });
    const fast = g.task('fast', { title: 'Fast', run: () => 1 });
    const dependent = g.task('dependent', {
      title: 'Dependent',
      needs: { fast },
      run: () => dependentRan.resolve(),
    });
    await g.run({ options: undefined, targets: { slow, dependent }, concurrency: 2 });
  });

  it('never runs more tasks at once than allowed', async () => {
    const g = graph<void>();
    let now = 0;
    let most = 0;
    const list = Array.from({ length: 12 }, (_, index) =>
      g.task(`t${index}`, {
        title: `T${index}`,
        run: async () => {
          now += 1;
          most = Math.max(most, now);
          await sleep(1);
          now -= 1;
        },
      }),
    );
    const tasks = Object.fromEntries(list.map((task) => [task.name, task]));
    await g.run({ options: undefined, targets: tasks, concurrency: 3 });
    expect(most).toBe(3);
    await expect(g.run({ options: undefined, targets: tasks, concurrency: 0 })).rejects.toThrow(RangeError);
  });
});

describe('a failing task', () => {
  it('aborts the others, waits for them to unwind, cleans up in reverse order, and is rethrown as it is', async () => {
    const log: string[] = [];
    const g = graph<void>();
    const first = g.task('first', {
      title: 'First',
      run: (ctx) => {
        ctx.scope.defer(() => void log.push('cleaned first'));
        ctx.scope.defer(async () => {
          await sleep(1);
          log.push('cleaned second');
        });
      },
    });
    const started = gate();
    const sibling = g.task('sibling', {
      title: 'Sibling',
      needs: { first },
      run: async (_, ctx) => {
        started.resolve();
        try {
          return await untilAborted(ctx);
        } finally {
          await sleep(5);
          log.push('sibling unwound');
        }
      },
    });
    const boom = new UserError('cannot seal the root drive: no space');
    const failing = g.task('failing', {
      title: 'Failing',
      needs: { first },
      run: async () => {
        await started.promise;
        throw boom;
      },
    });
    const never = g.task('never', {
      title: 'Never',
      needs: { sibling },
      run: () => void log.push('ran never'),
    });
    const events: GraphEvent[] = [];
    const run = g.run({
      options: undefined,
      targets: { failing, never },
      concurrency: 2,
      events: (event) => events.push(event),
    });
    await expect(run).rejects.toBe(boom);
    expect(log).toEqual(['sibling unwound', 'cleaned second', 'cleaned first']);
    expect(events.map((event) => ('task' in event ? `${event.type} ${event.task}` : event.type))).toEqual([
      'begin',
      'start first',
      'done first',
      'start sibling',
      'start failing',
      'fail failing',
      'cancel sibling',
      'end',
    ]);
    expect(events.at(-1)).toMatchObject({ ok: false });
  });

  it('makes the first error the reason of the signal that the others see', async () => {
    const g = graph<void>();
    let reason: unknown;
    const boom = new Error('boom');
    const watcher = g.task('watcher', {
      title: 'W',
      run: (ctx) =>
        untilAborted(ctx).catch((error) => {
          reason = ctx.signal.reason;
          throw error;
        }),
    });
    const failing = g.task('failing', { title: 'F', run: () => Promise.reject(boom) });
    await expect(g.run({ options: undefined, targets: { watcher, failing }, concurrency: 2 })).rejects.toBe(
      boom,
    );
    expect(reason).toBe(boom);
  });

  it('keeps its own error where clean-up fails as well, and tells of the other', async () => {
    const g = graph<void>();
    const events: GraphEvent[] = [];
    const failing = g.task('failing', {
      title: 'F',
      run: (ctx) => {
        ctx.scope.defer(() => {
          throw new Error('second to be disposed');
        });
        ctx.scope.defer(() => {
          throw new Error('first to be disposed');
        });
        throw new Error('boom');
      },
    });
    const run = g.run({ options: undefined, targets: { failing }, events: (event) => events.push(event) });
    await expect(run).rejects.toThrow('boom');
    const told = events.flatMap((event) => (event.type === 'cleanup-failed' ? [event.error.message] : []));
    expect(told).toEqual(['first to be disposed', 'second to be disposed']);
  });
});

it('a run whose clean-up fails is a failed run', async () => {
  const g = graph<void>();
  const task = g.task('t', {
    title: 'T',
    run: (ctx) => {
      ctx.scope.defer(() => Promise.reject(new Error('the work folder is still there')));
    },
  });
  await expect(g.run({ options: undefined, targets: { task } })).rejects.toThrow(
    'the work folder is still there',
  );
});

describe('an interruption', () => {
  it('unwinds like a failure and is rethrown with its own reason', async () => {
    const g = graph<void>();
    const controller = new AbortController();
    const interrupted = new UserError('interrupted', { status: 130 });
    let cleaned = false;
    const task = g.task('t', {
      title: 'T',
      run: (ctx) => {
        ctx.scope.defer(() => {
          cleaned = true;
        });
        queueMicrotask(() => controller.abort(interrupted));
        return untilAborted(ctx);
      },
    });
    const types: string[] = [];
    const run = g.run({
      options: undefined,
      targets: { task },
      signal: controller.signal,
      events: (event) => types.push(event.type),
    });
    await expect(run).rejects.toBe(interrupted);
    expect(cleaned).toBe(true);
    expect(types).toEqual(['begin', 'start', 'cancel', 'end']);
  });

  it('fails the run even where the last task finishes in spite of it', async () => {
    const g = graph<void>();
    const controller = new AbortController();
    const task = g.task('t', { title: 'T', run: () => controller.abort(new UserError('interrupted')) });
    await expect(g.run({ options: undefined, targets: { task }, signal: controller.signal })).rejects.toThrow(
      'interrupted',
    );
  });

  it('that came before the run starts nothing', async () => {
    const g = graph<void>();
    let ran = false;
    const task = g.task('t', {
      title: 'T',
      run: () => {
        ran = true;
      },
    });
    const signal = AbortSignal.abort(new UserError('interrupted'));
    await expect(g.run({ options: undefined, targets: { task }, signal })).rejects.toThrow('interrupted');
    expect(ran).toBe(false);
  });
});

describe('events', () => {
  it('carry progress, notes, warnings and cache use, and nothing after a task has ended', async () => {
    const g = graph<void>();
    let kept: TaskContext<void> | undefined;
    const early = g.task('early', {
      title: 'Early',
      run: (ctx) => {
        kept = ctx;
        ctx.progress({ done: 1, total: 2, unit: 'layers' });
        ctx.note('a note');
        ctx.warn('a warning');
        ctx.usedCache('1 of 2 layers');
      },
    });
    const late = g.task('late', { title: 'Late', needs: { early }, run: () => kept?.warn('too late') });
    const events: GraphEvent[] = [];
    await g.run({ options: undefined, targets: { late }, events: (event) => events.push(event) });
    const early1 = events.filter((event) => 'task' in event && event.task === 'early');
    expect(early1.map(({ type }) => type)).toEqual(['start', 'progress', 'note', 'warn', 'done']);
    expect(early1.at(-1)).toMatchObject({ title: 'Early', cached: true, detail: '1 of 2 layers' });
    expect(events.at(-1)).toMatchObject({ type: 'end', ok: true });
  });

  it('fail the run where the listener throws, after everything has unwound', async () => {
    const g = graph<void>();
    let cleaned = false;
    const task = g.task('t', {
      title: 'T',
      run: (ctx) => {
        ctx.scope.defer(() => {
          cleaned = true;
        });
        ctx.note('hello');
      },
    });
    const run = g.run({
      options: undefined,
      targets: { task },
      events: (event) => {
        if (event.type === 'note') throw new Error('renderer is broken');
      },
    });
    await expect(run).rejects.toThrow('renderer is broken');
    expect(cleaned).toBe(true);
  });
});

describe('a definition', () => {
  it('is refused where its name is taken or a need comes from another graph', () => {
    const g = graph<void>();
    g.task('a', { title: 'A', run: () => 1 });
    expect(() => g.task('a', { title: 'A again', run: () => 1 })).toThrow('task a is defined twice');
    const stranger = graph<void>().task('s', { title: 'S', run: () => 1 });
    expect(() => g.task('b', { title: 'B', needs: { stranger }, run: () => 1 })).toThrow(
      'stranger, needed by b, is not a task of this graph',
    );
  });

  it('cannot be turned into a circle afterwards', () => {
    const g = graph<void>();
    const a = g.task('a', { title: 'A', run: () => 1 });
    const needs: Record<string, Task> = { a };
    const b = g.task('b', { title: 'B', needs, run: () => 1 });
    needs.b = b;
    expect(Object.keys(b.needs)).toEqual(['a']);
    expect(() => Object.assign(a.needs, { b })).toThrow(TypeError);
  });

  it('is refused by the compiler where an input is read that is not among its needs', () => {
    const g = graph<void>();
    const a = g.task('a', { title: 'A', run: () => 1 });
    // @ts-expect-error `b` is not needed
    g.task('c', { title: 'C', needs: { a }, run: ({ b }) => b });
    // @ts-expect-error the output of `a` is a number
    g.task('d', { title: 'D', needs: { a }, run: ({ a }) => a.length });
  });

  it('is refused as a target of another graph', async () => {
    const stranger = graph<void>().task('s', { title: 'S', run: () => 1 });
    await expect(graph<void>().run({ options: undefined, targets: { stranger } })).rejects.toThrow(
      'target stranger is not a task of this graph',
    );
  });
});

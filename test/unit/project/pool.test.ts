import { describe, expect, it } from 'vitest';
import { runPool } from '../../../src/project/pool.ts';

const never = new AbortController().signal;

describe('the pool', () => {
  it('runs so many at once and no more, in order', async () => {
    const begun: number[] = [];
    let running = 0;
    let most = 0;
    await runPool([1, 2, 3, 4, 5, 6, 7], { atOnce: 3, signal: never }, async (item) => {
      begun.push(item);
      running += 1;
      most = Math.max(most, running);
      await new Promise(setImmediate);
      running -= 1;
    });
    expect(begun).toEqual([1, 2, 3, 4, 5, 6, 7]);
    expect(most).toBe(3);
  });

  it('runs the others where one throws, and keeps what each gave', async () => {
    const outcomes = await runPool(['a', 'b', 'c'], { atOnce: 1, signal: never }, async (item) => {
      if (item === 'b') throw new Error('no b');
      return item.toUpperCase();
    });
    expect([...outcomes]).toEqual([
      ['a', { status: 'fulfilled', value: 'A' }],
      ['b', { status: 'rejected', reason: new Error('no b') }],
      ['c', { status: 'fulfilled', value: 'C' }],
    ]);
  });

  it('begins none after an abort, and waits for those that run', async () => {
    const stop = new AbortController();
    const ended: number[] = [];
    const outcomes = await runPool([1, 2, 3, 4], { atOnce: 2, signal: stop.signal }, async (item) => {
      if (item === 2) stop.abort();
      await new Promise(setImmediate);
      ended.push(item);
    });
    expect(ended).toEqual([1, 2]);
    expect([...outcomes.keys()]).toEqual([1, 2]);
  });

  it('does nothing for nothing', async () => {
    expect((await runPool([], { atOnce: 4, signal: never }, async () => 1)).size).toBe(0);
  });
});

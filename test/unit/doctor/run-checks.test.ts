import { describe, expect, it } from 'vitest';
import type { Check } from '../../../src/doctor/check.ts';
import { checkGroups } from '../../../src/doctor/index.ts';
import { runChecks } from '../../../src/doctor/run-checks.ts';
import type { Situation } from '../../../src/doctor/situation.ts';
import { UserError } from '../../../src/host/errors.ts';

const situation = {} as Situation;
const never = new AbortController().signal;
const run = (checks: Check[], signal = never) =>
  runChecks([{ id: 'group', title: 'Group', checks }], situation, signal);
const check = (id: string, work: Check['run'], timeLimit?: number): Check => ({
  id,
  title: id,
  run: work,
  ...(timeLimit === undefined ? {} : { timeLimit }),
});

describe('checks', () => {
  it('keep their order, however long each takes', async () => {
    const slow = Promise.withResolvers<void>();
    const results = run([
      check('a', async () => {
        await slow.promise;
        return { status: 'ok', says: '1' };
      }),
      check('b', async () => {
        slow.resolve();
        return { status: 'ok', says: '2' };
      }),
    ]);
    expect((await results).map(({ id, says }) => [id, says])).toEqual([
      ['a', '1'],
      ['b', '2'],
    ]);
  });

  it('that take too long are a problem, are told to stop, and hold up nothing', async () => {
    let told = false;
    const [late, other] = await run([
      check(
        'late',
        ({ signal }) => {
          signal.addEventListener('abort', () => {
            told = true;
          });
          return new Promise(() => {});
        },
        20,
      ),
      check('other', async () => ({ status: 'ok', says: 'fine' })),
    ]);
    expect(late).toMatchObject({ status: 'problem', says: 'no answer within 0.02 s' });
    expect([told, other?.status]).toEqual([true, 'ok']);
  });

  it('that fail are a problem in the words of the failure, and stop no other', async () => {
    const results = await run([
      check('user', async () => {
        throw new UserError('cannot read it: gone', { hint: 'bring it back', details: ['line'] });
      }),
      check('bug', async () => {
        throw new TypeError('x is undefined');
      }),
      check('fine', async () => ({ status: 'ok', says: 'fine' })),
    ]);
    expect(results[0]).toMatchObject({
      status: 'problem',
      says: 'cannot read it: gone',
      hint: 'bring it back',
    });
    expect(results[1]).toMatchObject({ status: 'problem', says: 'cannot be checked: x is undefined' });
    expect(results[2]?.status).toBe('ok');
  });

  it('end at once where everything is interrupted', async () => {
    const controller = new AbortController();
    const started = Promise.withResolvers<void>();
    const running = run(
      [
        check('hangs', () => {
          started.resolve();
          return new Promise(() => {});
        }),
      ],
      controller.signal,
    );
    await started.promise;
    controller.abort(new UserError('interrupted'));
    await expect(running).rejects.toThrow('interrupted');
  });
});

it('every check has a name of its own that begins with its group', () => {
  const all = checkGroups.flatMap(({ id, checks }) => checks.map((each) => [id, each.id] as const));
  expect(new Set(all.map(([, id]) => id)).size).toBe(all.length);
  for (const [group, id] of all) expect(id.startsWith(`${group}.`)).toBe(true);
});

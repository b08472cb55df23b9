import { mkdir, mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { policyPath, writePolicy } from '../../../src/kbs/policy/policy.ts';
import { freshPolicy, readPolicy } from '../../../src/kbs/policy/policy-file.ts';
import { splitPolicy } from '../../../src/kbs/policy/text.ts';
import type { ImageRecord } from '../../../src/kbs/registry/record.ts';
import { addImage, readRegistry, registryPath } from '../../../src/kbs/registry/registry.ts';
import { backupOf, loadRegistry } from '../../../src/kbs/registry/registry-file.ts';
import { imageOf } from '../../unit/kbs/records.ts';
import { type Course, serialOrder } from './registry-model.ts';
import type { Operation, Outcome, Report } from './registry-worker.ts';
import { type Done, Workers } from './registry-workers.ts';

/** Far below the minute for which the lock is waited for, and far above what a busy machine needs. */
const prompt = 10_000;

const images = async (directory: string) => (await readRegistry(directory))?.images ?? [];

const outcomesOf = (reports: readonly Report[]): Outcome[] =>
  reports.flatMap((report) => ('changed' in report ? [report.changed] : []));

/** One process: what it does, and after how many milliseconds it is killed. */
interface Plan {
  operations: Operation[];
  killAfter: number | undefined;
}

/** Two or three sites, one of them without a project, and resource paths that are sometimes taken. */
function imageFor(number: number, site: number, shared: boolean): ImageRecord {
  const { project, ...rest } = imageOf(number, { name: `site-${site}` });
  return {
    ...rest,
    ...(site === 0 ? {} : { project: project! }),
    ...(shared ? { resourcePath: 'keys/root/shared' } : {}),
  };
}

const plans: fc.Arbitrary<Plan[]> = fc
  .array(
    fc.record({
      steps: fc.array(
        fc.oneof(
          { weight: 3, arbitrary: fc.record({ site: fc.nat(2), shared: fc.nat(4) }) },
          { weight: 1, arbitrary: fc.record({ process: fc.nat(2), step: fc.nat(2) }) },
        ),
        { minLength: 1, maxLength: 3 },
      ),
      killAfter: fc.oneof(
        { weight: 2, arbitrary: fc.constant(undefined) },
        { weight: 1, arbitrary: fc.nat(120) },
      ),
    }),
    { minLength: 2, maxLength: 3 },
  )
  .map((processes) =>
    processes.map(({ steps, killAfter }, process) => ({
      killAfter,
      operations: steps.map((each, step): Operation => {
        if ('site' in each) return { add: imageFor(process * 3 + step + 1, each.site, each.shared === 0) };
        return { retire: imageOf(each.process * 3 + each.step + 1).id };
      }),
    })),
  );

describe('processes that change a registry at once, some of them killed', () => {
  let folder: string;
  let workers: Workers;
  let count = 0;

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'registry-interleavings-'));
    workers = new Workers();
  });
  afterAll(async () => {
    await workers[Symbol.asyncDispose]();
    await rm(folder, { recursive: true });
  });

  /** Runs processes and, as long as they run, a reader that must never see a part of a file. */
  async function run(directory: string, processes: readonly Plan[]): Promise<Done[]> {
    await workers.keepReady(processes.length);
    let isOver = false;
    const done = Promise.all(
      processes.map(({ operations, killAfter }) =>
        workers.assign(
          { directory, operations },
          killAfter === undefined ? undefined : () => delay(killAfter),
        ),
      ),
    ).finally(() => {
      isOver = true;
    });
    while (!isOver) {
      await images(directory);
      await delay(5);
    }
    return done;
  }

  /**
   * What must hold whatever happened: files that are whole, a lock that is free, a policy that belongs to the registry.
   * @returns how many half-written files were there to be removed.
   */
  async function expectSound(directory: string, killed: number): Promise<number> {
    await mkdir(directory, { recursive: true }); // all may have been killed before they came to it
    const before = await images(directory);
    const policy = await readPolicy(policyPath(directory));
    if (policy !== undefined) {
      const { managed, ...others } = splitPolicy(policy);
      expect(managed).toMatch(/^# BEGIN cvm-builder[\s\S]+\n# END cvm-builder\n$/);
      expect({ managed: '', ...others }).toEqual({
        ...splitPolicy((await freshPolicy([])).text),
        managed: '',
      });
    }
    await loadRegistry(backupOf(registryPath(directory)));
    const leftBehind = (await readdir(directory)).filter((name) => name.endsWith('.tmp'));
    expect(leftBehind.length).toBeLessThanOrEqual(killed);

    const start = performance.now();
    expect((await writePolicy(directory)).text).toBe((await freshPolicy(before)).text);
    await addImage(directory, imageOf(100));
    await writePolicy(directory);
    expect(performance.now() - start).toBeLessThan(prompt);
    const after = [...before, imageOf(100)];
    expect(await images(directory)).toEqual(after);
    expect(await readFile(policyPath(directory), 'utf8')).toBe((await freshPolicy(after)).text);
    if (before.length > 0) {
      const backup = await loadRegistry(backupOf(registryPath(directory)));
      expect(backup?.registry.images).toEqual(before);
    }
    // The next holder of the lock removed what those that were killed had begun to write.
    expect((await readdir(directory)).filter((name) => name.endsWith('.tmp'))).toEqual([]);
    return leftBehind.length;
  }

  test('100 random interleavings end as some serial order of their operations does', async () => {
    const seen = { killed: 0, midway: 0, unreported: 0, refused: 0, leftBehind: 0 };
    await fc.assert(
      fc.asyncProperty(plans, async (processes) => {
        count += 1;
        const directory = join(folder, `${count}`);
        const done = await run(directory, processes);
        const courses = done.map(({ reports }, index): Course => {
          expect(reports.filter((report) => 'policy' in report && report.policy === 'failed')).toEqual([]);
          return { operations: processes[index]!.operations, outcomes: outcomesOf(reports) };
        });
        for (const [index, { killed }] of done.entries()) {
          const { operations, outcomes } = courses[index]!;
          if (!killed) expect(outcomes).toHaveLength(operations.length);
          else seen.killed += 1;
          if (killed && outcomes.length < operations.length) seen.midway += 1;
          seen.refused += outcomes.filter((each) => typeof each === 'object' && 'refused' in each).length;
        }
        const order = serialOrder(courses, await images(directory));
        expect(order, 'no serial order of the operations gives this registry').toBeDefined();
        if (order!.length > courses.flatMap(({ outcomes }) => outcomes).length) seen.unreported += 1;
        const leftBehind = await expectSound(directory, done.filter(({ killed }) => killed).length);
        seen.leftBehind += leftBehind;
        await rm(directory, { recursive: true });
      }),
      { numRuns: 100, endOnFailure: true },
    );
    if (process.env.CVM_TEST_SHOW !== undefined) console.log(seen);
    // Otherwise the kills came too late, or the processes never met.
    expect(seen.midway).toBeGreaterThan(10);
    expect(seen.refused).toBeGreaterThan(10);
  });

  test('a process that is killed while it holds the lock does not block the next', async () => {
    const directory = join(folder, 'held');
    await addImage(directory, imageOf(1));
    await workers.keepReady(2);
    let waiting: Promise<Done> | undefined;
    const holder = await workers.assign({ directory, operations: ['hold'] }, async (reports) => {
      while (outcomesOf(reports).length === 0) await delay(5);
      // It has the lock: another process has to wait, and gets it when this one is killed.
      waiting = workers.assign({ directory, operations: [{ add: imageOf(2) }] });
      expect(await Promise.race([waiting, delay(300, 'waits')])).toBe('waits');
    });
    expect(outcomesOf(holder.reports)).toEqual(['held']);
    const start = performance.now();
    const { reports } = (await waiting)!;
    expect(outcomesOf(reports)).toEqual([{ superseded: [] }]);
    expect(performance.now() - start).toBeLessThan(prompt);
    expect((await images(directory)).map(({ id }) => id)).toEqual([imageOf(1).id, imageOf(2).id]);
  });
});

describe('the model that interleavings are held against', () => {
  const one = { add: imageOf(1) };
  const two = { add: imageOf(2) };
  const added: Outcome = { superseded: [] };

  test('knows no order for an operation that is lost, or that nobody asked for', () => {
    const courses = [
      { operations: [one], outcomes: [added] },
      { operations: [two], outcomes: [added] },
    ];
    expect(serialOrder(courses, [imageOf(1), imageOf(2)])).toEqual([one, two]);
    expect(serialOrder(courses, [imageOf(2), imageOf(1)])).toEqual([two, one]);
    expect(serialOrder(courses, [imageOf(1)])).toBeUndefined();
    expect(serialOrder(courses, [imageOf(1), imageOf(2), imageOf(3)])).toBeUndefined();
    expect(serialOrder(courses, [imageOf(1), imageOf(2, { name: 'torn' })])).toBeUndefined();
  });

  test('takes an operation at which a process was killed as done or not, and none after it', () => {
    const courses = [{ operations: [one, two], outcomes: [] }];
    expect(serialOrder(courses, [])).toEqual([]);
    expect(serialOrder(courses, [imageOf(1)])).toEqual([one]);
    expect(serialOrder(courses, [imageOf(1), imageOf(2)])).toBeUndefined();
    expect(serialOrder(courses, [imageOf(2)])).toBeUndefined();
  });

  test('keeps the order of each process, and what it was told', () => {
    const retire = { retire: imageOf(1).id };
    const retired = imageOf(1, { status: 'retired' });
    const refused = { refused: 'cannot retire image 000000000001: it is not in the registry' };
    expect(
      serialOrder([{ operations: [one, retire], outcomes: [added, 'retired'] }], [retired]),
    ).toBeDefined();
    expect(
      serialOrder([{ operations: [retire, one], outcomes: ['retired', added] }], [retired]),
    ).toBeUndefined();
    expect(
      serialOrder([{ operations: [retire, one], outcomes: [refused, added] }], [imageOf(1)]),
    ).toBeDefined();
    expect(
      serialOrder([{ operations: [retire, one], outcomes: [refused, added] }], [retired]),
    ).toBeUndefined();
  });
});

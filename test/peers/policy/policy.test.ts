import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { cases } from './cases.ts';
import { type Answered, askOpa, askRegorus, opa, type Question, regorus } from './engines.ts';
import { writePolicies } from './texts.ts';

/** A file whose administrator set no default: a denial is no answer at all, which v0.14 to v0.16 call an error. */
const denialWithoutDefault = { field: 'error', main: 'undefined', opa: 'undefined' } as const;

const expected = (engine: keyof typeof denialWithoutDefault) =>
  cases.map(({ title, policy, released }) => {
    const denial = policy === 'no default' ? denialWithoutDefault[engine] : 'false';
    return [title, released ? 'true' : denial];
  });

const answers = (answered: readonly Answered[]) =>
  cases.map(({ title }, index) => [title, answered[index]!.answer]);

describe('what generated policies release', () => {
  let folder = '';
  let questions: Question[] = [];
  let byRegorus: Awaited<ReturnType<typeof askRegorus>> = [];

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'cvm-policies-'));
    const written = await writePolicies(folder);
    questions = cases.map(({ policy, data, input }) => ({ policy: written[policy], data, input }));
    if (regorus !== undefined) byRegorus = await askRegorus(questions);
  });
  afterAll(() => rm(folder, { recursive: true }));

  it('the table has many rows, none of them twice, and many of either answer', () => {
    expect(new Set(cases.map(({ title }) => title)).size).toBe(cases.length);
    expect(cases.length).toBeGreaterThan(150);
    expect(cases.filter(({ released }) => released).length).toBeGreaterThan(30);
  });

  it.skipIf(regorus === undefined)(
    'by regorus 0.2.8, of key brokers v0.14 to v0.16: as the table says',
    () => {
      expect(answers(byRegorus.map(({ field }) => field))).toEqual(expected('field'));
    },
  );

  it.skipIf(regorus === undefined)('by regorus 0.11.0, of the newest key brokers: as the table says', () => {
    expect(answers(byRegorus.map(({ main }) => main))).toEqual(expected('main'));
  });

  it.skipIf(opa === undefined)('by Open Policy Agent: as the table says', async () => {
    expect(answers(await askOpa(questions))).toEqual(expected('opa'));
  });
});

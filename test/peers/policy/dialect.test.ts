import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { lintPolicy } from '../../../src/kbs/policy/lint.ts';
import { freshPolicy } from '../../../src/kbs/policy/policy-file.ts';
import { imageOf } from '../../unit/kbs/records.ts';
import { data, inputs, limits, rows } from './dialect.ts';
import { askRegorus, type Question, regorus } from './engines.ts';

/** The reasons that lint gives, held against what the engines of key brokers do. */
describe.skipIf(regorus === undefined)('texts that lint judges, by regorus', () => {
  let folder = '';
  let answered: Awaited<ReturnType<typeof askRegorus>> = [];

  let count = 0;
  async function question(text: string, data: unknown, input: unknown): Promise<Question> {
    count += 1;
    const policy = join(folder, `${count}.rego`);
    await writeFile(policy, text);
    return { policy, data, input };
  }

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'cvm-dialect-'));
    const questions = rows.map(({ text, asks, path }) => question(text, data[path], inputs[asks]));
    answered = await askRegorus(await Promise.all(questions));
  });
  afterAll(() => rm(folder, { recursive: true }));

  it.each(rows.map((row, index) => [row.title, row, index] as const))('%s', (_, row, index) => {
    const { field, main } = answered[index]!;
    expect({ field: field.answer, main: main.answer }, `${field.words} ${main.words}`).toEqual({
      field: row.field,
      main: row.main,
    });
    if (row.words !== undefined) expect(main.words).toMatch(row.words);
    const refused = lintPolicy(row.text).filter(({ severity }) => severity === 'refuse');
    const rules = refused.map(({ rule }) => rule);
    if (row.lint.length === 0) expect(rules).toEqual([]);
    else expect(rules).toEqual(expect.arrayContaining([...row.lint]));
  });

  it.each(limits)('a policy over $title does not load on newer engines', async ({
    within,
    beyond,
    words,
  }) => {
    const questions = [within, beyond].map((text) => question(text, data.list, inputs.guest));
    const [last, over] = await askRegorus(await Promise.all(questions));
    expect(last).toEqual({ field: { answer: 'true' }, main: { answer: 'true' } });
    expect(over).toEqual({
      field: { answer: 'true' },
      main: { answer: 'error', words: expect.stringMatching(words) },
    });
  });

  it('a generated policy of 3,000 images, one digest each, keeps to them', async () => {
    const images = Array.from({ length: 3000 }, (_, index) => imageOf(index + 1));
    const { text } = await freshPolicy(images);
    const path = { plugin: 'resource', 'resource-path': images[2999]!.resourcePath.split('/'), query: {} };
    const snp = {
      measurement: images[2999]!.digests[0]!.hex,
      policy_debug_allowed: false,
      policy_migrate_ma: false,
    };
    const input = { submods: { cpu0: { 'ear.veraison.annotated-evidence': { snp } } } };
    expect(await askRegorus([await question(text, path, input)])).toEqual([
      { field: { answer: 'true' }, main: { answer: 'true' } },
    ]);
  });
});

import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { which } from '../../../src/host/tools.ts';
import { lintFile } from '../../../src/kbs/policy/lint-file.ts';
import { policyPath, writePolicy } from '../../../src/kbs/policy/policy.ts';
import { freshPolicy } from '../../../src/kbs/policy/policy-file.ts';
import { askPolicy, checkWithEngine } from '../../../src/kbs/policy/rego-engine.ts';
import { sampleOf, selfTest, tryPolicy } from '../../../src/kbs/policy/self-test.ts';
import { addImage } from '../../../src/kbs/registry/registry.ts';
import { digestOf, imageOf } from '../../unit/kbs/records.ts';

const engine = process.env.OPA ?? which('opa') ?? '';
const images = [imageOf(1), imageOf(2), imageOf(3, { status: 'retired' })];
const minTcb = { bootloader: 4, tee: 0, snp: 22, microcode: 213 };

let folder: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'self-test-'));
});

afterEach(() => rm(folder, { recursive: true }));

describe.skipIf(engine === '')('the self-test, by Open Policy Agent', () => {
  test('the generated policy passes it, with and without a minimum TCB, and without images', async () => {
    expect(await selfTest((await freshPolicy(images)).text, images, { engine })).toBeGreaterThan(100);
    const { text } = await freshPolicy(images, minTcb);
    expect(await selfTest(text, images, { engine, minTcb })).toBeGreaterThan(150);
    expect(await selfTest((await freshPolicy([])).text, [], { engine })).toBeGreaterThan(30);
  });

  test('an image that was taken over passes it', async () => {
    const adopted = { at: '2026-01-02T03:04:05.000Z', digests: [digestOf('old'), digestOf('older')] };
    const taken = [imageOf(1, { digests: [], adopted }), imageOf(2)];
    const cases = await tryPolicy((await freshPolicy(taken)).text, taken, taken, { engine });
    expect(cases.filter(({ allowed, expected }) => allowed !== expected)).toEqual([]);
    expect(cases.filter(({ allowed }) => allowed)).toHaveLength(6);
  });

  const path = 'cvm_measurements[concat("/", cvm_resource_path)]';
  test.each([
    ['allows everything', (text: string) => `${text}\nallow if input\n`, /allowed/],
    [
      'forgets the path',
      (text: string) => text.replace(path, 'cvm_measurements[_]'),
      /the path of image .*: allowed/,
    ],
    [
      'forgets debugging',
      (text: string) => text.replace(/.*policy_debug_allowed == .*\n/, ''),
      /debugging allowed: allowed/,
    ],
    [
      'takes any debugging but true',
      (text: string) => text.replace('debug_allowed == false', 'debug_allowed != true'),
      /debugging off as a text: allowed/,
    ],
    [
      'forgets migration',
      (text: string) => text.replace(/.*policy_migrate_ma == .*\n/, ''),
      /migration allowed: allowed/,
    ],
    [
      'takes other plugins',
      (text: string) => text.replace('data.plugin == "resource"', 'data.plugin'),
      /another plugin: allowed/,
    ],
    [
      'takes sample evidence',
      (text: string) => text.replace('.snp\n', '[_]\n'),
      /sample evidence with its digest: allowed/,
    ],
    [
      'takes texts for numbers',
      (text: string) => text.replaceAll(/.*is_number.*\n/g, ''),
      /as a text: allowed/,
    ],
    [
      'has no minimum',
      (text: string) => text.replaceAll(/.*reported_tcb_snp >= .*\n/g, ''),
      /snp below the minimum: allowed/,
    ],
    [
      'has a maximum',
      (text: string) => text.replaceAll('reported_tcb_snp >= 22', 'reported_tcb_snp == 22'),
      /its own digest: denied/,
    ],
    [
      'keeps a retired image',
      (text: string) =>
        text
          .replace(imageOf(2).resourcePath, imageOf(3).resourcePath)
          .replaceAll(digestOf('image 2'), digestOf('image 3')),
      /retired: allowed/,
    ],
    [
      'lacks one encoding',
      (text: string) => text.replaceAll(/[0-9a-f]{96} /g, ''),
      /from v0.18, its own digest: denied/,
    ],
    [
      'knows no older broker',
      (text: string) => text.replaceAll('is_string', 'is_null'),
      /up to v0.16, its own digest: denied/,
    ],
  ])('a policy that %s fails it', async (_, change, message) => {
    const { text } = await freshPolicy(images, minTcb);
    const changed = change(text);
    expect(changed).not.toBe(text);
    const failure = await selfTest(changed, images, { engine, minTcb }).catch((error: unknown) => error);
    expect((failure as { details: string[] }).details.join('\n')).toMatch(message);
  });

  test('an error of a function fails it, as it denies every request', async () => {
    const { text } = await freshPolicy(images);
    const changed = `${text}\nx if split(data["resource-path"], "/")\n`;
    const strict = askPolicy(engine, changed.replace('\tcvm_is_resource\n', '\tx\n'), [
      { input: {}, data: { 'resource-path': ['a'] } },
    ]);
    await expect(strict).rejects.toThrow(/split: operand 1 must be string/);
  });

  test('a policy that fails it is not written, and the file stays as it was', async () => {
    await addImage(folder, imageOf(1));
    const { text } = await writePolicy(folder, { opa: engine });
    // Bound to a path in form, but to that of all keys of images: only a trial shows it.
    const open = `${text}\nallow if {\n\tstartswith(concat("/", cvm_resource_path), "keys/root/")\n\tis_object(input)\n}\n`;
    await writeFile(policyPath(folder), open);
    await addImage(folder, imageOf(2));
    await expect(writePolicy(folder, { opa: engine })).rejects.toThrow(/trial requests got the wrong answer/);
    expect(await readFile(policyPath(folder), 'utf8')).toBe(open);
  });

  test('what is written says that it was tried', async () => {
    await addImage(folder, imageOf(1));
    expect((await writePolicy(folder, { opa: engine })).notes.join()).toMatch(/tried with \d+ requests/);
    expect((await writePolicy(folder, { opa: engine })).notes).toEqual([]);
  });

  test('thousands of images are tried with no more requests than hundreds', async () => {
    const tried = async (count: number) => {
      const images = Array.from({ length: count }, (_, index) => imageOf(index + 1));
      return selfTest((await freshPolicy(images, minTcb)).text, images, { engine, minTcb });
    };
    expect(await tried(3000)).toBe(await tried(300));
  });

  test('the engine adds what it finds to lint, with the line', async () => {
    const text = 'package policy\n\nimport rego.v1\n\ndefault allow := false\n\nx if y == 1\n';
    expect(await lintFile(join(folder, 'x.rego'), text)).toEqual([]);
    expect(await lintFile(join(folder, 'x.rego'), text, { engine })).toEqual([
      expect.objectContaining({
        severity: 'refuse',
        rule: 'engine',
        line: 7,
        message: expect.stringContaining('unsafe'),
      }),
    ]);
    expect(await checkWithEngine(engine, (await freshPolicy(images)).text)).toEqual([]);
  });

  test('a program that is none is told as an error', async () => {
    await expect(askPolicy(join(folder, 'none'), 'package policy', [])).rejects.toThrow(
      /cannot ask the policy engine/,
    );
    await expect(askPolicy('/bin/true', 'package policy', [])).rejects.toThrow(
      /cannot ask the policy engine/,
    );
  });
});

describe('without an engine', () => {
  test('one note says that the policy was not tried', async () => {
    const path = process.env.PATH;
    process.env.PATH = folder;
    try {
      const engines = which('opa');
      await addImage(folder, imageOf(1));
      const { notes } = await writePolicy(folder);
      expect(notes).toEqual([
        expect.stringMatching(engines === undefined ? /without trying it/ : /was tried/),
      ]);
    } finally {
      process.env.PATH = path;
    }
  });

  test('the images that stand for thousands are spread, hold the newest, and are always the same', () => {
    const many = Array.from({ length: 1000 }, (_, index) =>
      imageOf(index + 1, index === 500 ? { builtAt: '2027-01-02T03:04:05.000Z' } : {}),
    );
    const sample = sampleOf(many);
    expect(sample.length).toBeLessThanOrEqual(8);
    expect(sample.map(({ id }) => id)).toContain(imageOf(501).id);
    expect(
      sampleOf(many.toReversed())
        .map(({ id }) => id)
        .sort(),
    ).toEqual(sample.map(({ id }) => id).sort());
  });
});

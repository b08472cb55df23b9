import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type AdoptRequest, adopt, planAdoption } from '../../../src/kbs/policy/adopt.ts';
import { lintFile } from '../../../src/kbs/policy/lint-file.ts';
import { policyPath, writePolicy } from '../../../src/kbs/policy/policy.ts';
import {
  addImage,
  lockPolicyDirectory,
  readRegistry,
  registryPath,
} from '../../../src/kbs/registry/registry.ts';
import { loadRegistry, storeRegistryAnd } from '../../../src/kbs/registry/registry-file.ts';
import { digestOf, imageOf } from '../../unit/kbs/records.ts';

let folder: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'adopt-'));
});

afterEach(() => rm(folder, { recursive: true }));

const base64 = (hex: string) => Buffer.from(hex, 'hex').toString('base64');
const claim = 'input["submods"]["cpu0"]["ear.veraison.annotated-evidence"]["snp"]["measurement"]';
const one = digestOf('one');
const two = digestOf('two');
const old = [
  'package policy',
  '',
  'default allow = false',
  '',
  '# site-1: keys/root/0123456789ab',
  `allow {\n  ${claim} == "${base64(one)}"\n}`,
  '',
  "# this one is the hospital's",
  `allow {\n  ${claim} == "${base64(two)}"\n}`,
  '',
  '# ours, stays: \u00e9',
  'hospital := {"a", "b"}   # with blanks  ',
  '',
].join('\n');

const request: AdoptRequest = { now: new Date('2026-01-02T03:04:05.000Z') };
const mapped: AdoptRequest = {
  ...request,
  map: [{ prefix: base64(two).slice(0, 12), path: 'keys/root/hospital' }],
};

async function adoptAll(from: AdoptRequest = mapped) {
  const { diff } = await planAdoption(folder, from);
  return adopt(folder, from, diff);
}

describe('taking over the entries of an older builder', () => {
  test('puts them into the registry and out of the text, and leaves the rest byte for byte', async () => {
    await writeFile(policyPath(folder), old);
    const { entries, diff, notes } = await adoptAll();
    expect(entries.map(({ path, fate }) => [path, fate])).toEqual([
      ['keys/root/0123456789ab', 'new'],
      ['keys/root/hospital', 'new'],
    ]);
    expect(diff).toContain(`-  ${claim} == "${base64(one)}"`);
    expect(diff).toContain('+import rego.v1');
    expect(notes).toHaveLength(1);
    const text = await readFile(policyPath(folder), 'utf8');
    expect(text.startsWith('package policy\n\nimport rego.v1\n\ndefault allow = false\n\n')).toBe(true);
    expect(text).toContain("\n# this one is the hospital's\n");
    expect(text).toContain('\n# ours, stays: \u00e9\nhospital := {"a", "b"}   # with blanks  \n');
    expect(text).not.toContain('allow {');
    expect(text).toContain(`"keys/root/hospital": \`${two} ${base64(two)}\``);
    const images = (await readRegistry(folder))?.images;
    expect(images?.map(({ id, status, adopted }) => [id, status, adopted?.digests])).toEqual([
      ['0123456789ab', 'active', [one]],
      [expect.stringMatching(/^[0-9a-f]{12}$/), 'active', [two]],
    ]);
    expect(await lintFile(policyPath(folder), text)).toEqual([]);
    expect((await writePolicy(folder)).changed).toBe(false);
  });

  test('looking at the changes changes nothing', async () => {
    await writeFile(policyPath(folder), old);
    await planAdoption(folder, mapped);
    expect(await readdir(folder)).toEqual(['policy.rego']);
    expect(await readFile(policyPath(folder), 'utf8')).toBe(old);
  });

  test.each([
    ['an entry has no path', old, request, /no resource path is known/],
    ['there are no entries', 'package policy\nimport rego.v1\n', request, /it has none of an older builder/],
    [
      'a rule of others is of Rego before version 1',
      `${old}allow { input.x }\n`,
      mapped,
      /what is left could not stand/,
    ],
    ['the text cannot be read', `${old}allow {\n`, mapped, /cannot be read as Rego/],
  ])('nothing changes where %s', async (_, text, from, message) => {
    await writeFile(policyPath(folder), text);
    await expect(planAdoption(folder, from)).rejects.toThrow(message);
    await expect(adopt(folder, from, '')).rejects.toThrow(message);
    expect(await readFile(policyPath(folder), 'utf8')).toBe(text);
    expect(await readRegistry(folder)).toBeUndefined();
  });

  test('a refused rule is told with its line in the file as it is', async () => {
    await writeFile(policyPath(folder), `${old}allow { input.x }\n`);
    const failure = (await planAdoption(folder, mapped).catch((error: unknown) => error)) as {
      details: string[];
    };
    expect(failure.details.join('\n')).toContain(`policy.rego:${old.split('\n').length}:1: refuse: `);
  });

  test('nothing changes where the file has changed since the changes were shown', async () => {
    await writeFile(policyPath(folder), old);
    const { diff } = await planAdoption(folder, mapped);
    await writeFile(policyPath(folder), `${old}# new\n`);
    await expect(adopt(folder, mapped, diff)).rejects.toThrow(/has changed meanwhile/);
    expect(await readRegistry(folder)).toBeUndefined();
  });

  test('an adoption that was killed between the two files is finished by doing it again', async () => {
    await addImage(folder, imageOf(1));
    await writeFile(policyPath(folder), old);
    await adoptAll();
    const finished = await readFile(policyPath(folder), 'utf8');
    const registry = await readFile(registryPath(folder), 'utf8');
    await writeFile(policyPath(folder), old);
    const { entries } = await adoptAll();
    expect(entries.map(({ fate }) => fate)).toEqual(['known', 'known']);
    expect(await readFile(policyPath(folder), 'utf8')).toBe(finished);
    expect(await readFile(registryPath(folder), 'utf8')).toBe(registry);
  });

  test('where the text cannot be replaced the registry is as it was', async () => {
    const file = registryPath(folder);
    const registry = { version: 1 as const, kind: 'production' as const, images: [imageOf(1), imageOf(2)] };
    const fails = () => Promise.reject(new Error('the disk is full'));
    await expect(storeRegistryAnd(file, registry, undefined, fails)).rejects.toThrow('the disk is full');
    expect(await readRegistry(folder)).toBeUndefined();
    await addImage(folder, imageOf(1));
    const before = await loadRegistry(file);
    await expect(storeRegistryAnd(file, registry, before, fails)).rejects.toThrow('the disk is full');
    expect(await readFile(file, 'utf8')).toBe(before!.text);
  });

  test('another file is the source of a new policy, and stays', async () => {
    const source = join(folder, 'old.rego');
    await writeFile(source, old);
    const directory = join(folder, 'policy');
    const from = { ...mapped, file: source };
    const { diff } = await planAdoption(directory, from);
    await adopt(directory, from, diff);
    expect(await readFile(source, 'utf8')).toBe(old);
    expect(await readFile(policyPath(directory), 'utf8')).toContain('"keys/root/hospital"');
    await expect(planAdoption(directory, from)).rejects.toThrow(/is there already/);
  });

  test('imports that the new one makes an error of make way for it', async () => {
    const text = old
      .replace('package policy\n', 'package policy\n\nimport future.keywords.if\nimport future.keywords.in\n')
      .replaceAll('allow {', 'allow if {');
    await writeFile(policyPath(folder), text);
    await adoptAll();
    const written = await readFile(policyPath(folder), 'utf8');
    expect(written.startsWith('package policy\n\nimport rego.v1\n\ndefault allow = false\n')).toBe(true);
  });

  test('it waits for who holds the lock', async () => {
    await writeFile(policyPath(folder), old);
    const { diff } = await planAdoption(folder, mapped);
    const lock = await lockPolicyDirectory(folder);
    const running = adopt(folder, mapped, diff);
    await writeFile(policyPath(folder), `${old}# changed by the holder\n`);
    await lock.release();
    await expect(running).rejects.toThrow(/has changed meanwhile/);
  });
});

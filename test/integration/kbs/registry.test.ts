import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { policyPath, writePolicy } from '../../../src/kbs/policy/policy.ts';
import {
  addImage,
  readRegistry,
  registryPath,
  retireImage,
  withdrawImage,
} from '../../../src/kbs/registry/registry.ts';
import { imageOf } from '../../unit/kbs/records.ts';

let folder: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'registry-test-'));
});

afterEach(() => rm(folder, { recursive: true }));

const statuses = async () =>
  (await readRegistry(folder))?.images.map(({ id, status }) => [Number(`0x${id}`), status]);

describe('registry', () => {
  test('there is none until an image is added, and the folder is made', async () => {
    expect(await readRegistry(folder)).toBeUndefined();
    const directory = join(folder, 'deep', 'policy');
    expect(await addImage(directory, imageOf(1))).toEqual({ superseded: [] });
    expect((await readRegistry(directory))?.images).toEqual([imageOf(1)]);
    expect((await stat(registryPath(directory))).mode & 0o777).toBe(0o644);
  });

  test('a new image of the same project and site retires the earlier one', async () => {
    await addImage(folder, imageOf(1, { name: 'a' }));
    await addImage(folder, imageOf(2, { name: 'b' }));
    await addImage(folder, imageOf(3, { name: 'a', project: 'other' }));
    expect(await addImage(folder, imageOf(4, { name: 'a' }))).toEqual({ superseded: ['000000000001'] });
    expect(await statuses()).toEqual([
      [1, 'retired'],
      [2, 'active'],
      [3, 'active'],
      [4, 'active'],
    ]);
  });

  test('a withdrawn image gives back what it superseded, unless a later one has superseded that too', async () => {
    await addImage(folder, imageOf(1, { name: 'a' }));
    const second = await addImage(folder, imageOf(2, { name: 'a' }));
    await withdrawImage(folder, imageOf(2).id, second.superseded);
    expect(await statuses()).toEqual([[1, 'active']]);
    const third = await addImage(folder, imageOf(3, { name: 'a' }));
    await addImage(folder, imageOf(4, { name: 'a' }));
    await withdrawImage(folder, imageOf(3).id, third.superseded);
    expect(await statuses()).toEqual([
      [1, 'retired'],
      [4, 'active'],
    ]);
  });

  test('what a killed writer left is removed by the next change, and nothing else is', async () => {
    await addImage(folder, imageOf(1));
    const left = ['.cvm-registry.json.0123456789ab.tmp', '.policy.rego.ba9876543210.tmp'];
    const kept = ['.policy.rego.swp', 'cvm-registry.json.0123456789ab.tmp', '.other.0123456789ab.tmp'];
    for (const name of [...left, ...kept]) await writeFile(join(folder, name), '');
    await addImage(folder, imageOf(2));
    const names = await readdir(folder);
    expect(names).toEqual(expect.arrayContaining(kept));
    for (const name of left) expect(names).not.toContain(name);
  });

  test('keepPrevious, or an unknown project, retires nothing', async () => {
    const { project: _, ...unknown } = imageOf(1, { name: 'a' });
    await addImage(folder, unknown);
    await addImage(folder, { ...unknown, id: imageOf(2).id, resourcePath: imageOf(2).resourcePath });
    await addImage(folder, imageOf(3, { name: 'a' }));
    expect(await addImage(folder, imageOf(4, { name: 'a' }), { keepPrevious: true })).toEqual({
      superseded: [],
    });
    expect((await statuses())?.map(([, status]) => status)).toEqual(['active', 'active', 'active', 'active']);
  });

  test('an id, or an active resource path, is taken once', async () => {
    await addImage(folder, imageOf(1));
    await expect(addImage(folder, imageOf(1, { name: 'b' }))).rejects.toThrow('registered already');
    const { resourcePath } = imageOf(1);
    await expect(addImage(folder, imageOf(2, { resourcePath }))).rejects.toThrow(
      'is the key of active image',
    );
    expect((await readRegistry(folder))?.images).toHaveLength(1);
  });

  test('production and development images never share a registry', async () => {
    await addImage(folder, imageOf(1));
    await expect(addImage(folder, imageOf(2, { kind: 'development' }))).rejects.toThrow(
      'is a production registry',
    );
    const other = join(folder, 'development');
    await addImage(other, imageOf(2, { kind: 'development' }));
    await expect(addImage(other, imageOf(1))).rejects.toThrow('is a development registry');
  });

  test('an image is retired once and for all, and only if it is there', async () => {
    await expect(retireImage(folder, imageOf(1).id)).rejects.toThrow(/cannot retire image 000000000001/);
    expect(await readdir(folder)).toEqual([]);
    await addImage(folder, imageOf(1));
    expect(await retireImage(folder, imageOf(1).id)).toEqual(imageOf(1, { status: 'retired' }));
    await retireImage(folder, imageOf(1).id);
    expect(await statuses()).toEqual([[1, 'retired']]);
    await expect(retireImage(folder, imageOf(2).id)).rejects.toThrow('cannot retire');
  });

  test('a damaged file is refused with line and column, left as it is, and its last state is kept', async () => {
    await addImage(folder, imageOf(1));
    const good = await readFile(registryPath(folder), 'utf8');
    await addImage(folder, imageOf(2));
    expect(await readFile(`${registryPath(folder)}.bak`, 'utf8')).toBe(good);
    const damaged = (await readFile(registryPath(folder), 'utf8')).replace(
      '"kind": "production",\n',
      '"kind" "x",\n',
    );
    await writeFile(registryPath(folder), damaged);
    await expect(readRegistry(folder)).rejects.toThrow(
      /cvm-registry\.json:3:10: it is not JSON from here on/,
    );
    await expect(addImage(folder, imageOf(3))).rejects.toThrow(':3:10:');
    expect(await readFile(registryPath(folder), 'utf8')).toBe(damaged);
    expect(await readFile(`${registryPath(folder)}.bak`, 'utf8')).toBe(good);
  });

  test('a wrong value is refused with its line and column', async () => {
    await addImage(folder, imageOf(1));
    const text = await readFile(registryPath(folder), 'utf8');
    for (const [from, to, message] of [
      ['"active"', '"Active"', /cvm-registry\.json:\d+:17: images\.0\.status/],
      ['"version": 1', '"version": 2', /cvm-registry\.json:2:14: version: must be 1/],
      [
        '"kind": "production"',
        '"kind": "development"',
        /:\d+:\d+: images\.0\.kind: .* in a development registry/,
      ],
      ['"cpu"', '"CPU"', /images\.0\.digests\.0/],
    ] as const) {
      await writeFile(registryPath(folder), text.replace(from, to));
      await expect(readRegistry(folder)).rejects.toThrow(message);
    }
  });

  test('ten processes that add images at once lose none', async () => {
    const source = (path: string) => JSON.stringify(new URL(`../../../${path}`, import.meta.url).href);
    const program = `
      const { addImage } = await import(${source('src/kbs/registry/registry.ts')});
      const { writePolicy } = await import(${source('src/kbs/policy/policy.ts')});
      const { imageOf } = await import(${source('test/unit/kbs/records.ts')});
      await addImage(process.argv[1], imageOf(Number(process.argv[2])));
      await writePolicy(process.argv[1]);
    `;
    const numbers = Array.from({ length: 10 }, (_, index) => index + 1);
    const ends = numbers.map((number) => {
      const args = ['--input-type=module', '-e', program, folder, String(number)];
      return once(spawn(process.execPath, args, { stdio: 'inherit' }), 'exit');
    });
    expect((await Promise.all(ends)).map(([status]) => status)).toEqual(numbers.map(() => 0));
    expect((await statuses())?.map(([id]) => Number(id)).sort((a, b) => a - b)).toEqual(numbers);
    const policy = await readFile(policyPath(folder), 'utf8');
    for (const number of numbers) expect(policy).toContain(`"${imageOf(number).resourcePath}"`);
    expect((await readdir(folder)).filter((name) => name.endsWith('.tmp'))).toEqual([]);
  });
});

describe('policy file', () => {
  test('a new file is whole, world-readable and stable', async () => {
    await addImage(folder, imageOf(1));
    const { path, text, changed, warnings } = await writePolicy(folder);
    expect([changed, warnings]).toEqual([true, []]);
    expect(await readFile(path, 'utf8')).toBe(text);
    expect((await stat(path)).mode & 0o777).toBe(0o644);
    expect((await writePolicy(folder)).changed).toBe(false);
  });

  test('without a registry it releases nothing', async () => {
    expect((await writePolicy(folder)).text).toContain('# no active image');
  });

  test('rules of others stay byte for byte', async () => {
    const others =
      'package policy\r\n\r\nimport rego.v1\r\n\r\ndefault allow := false\r\n# \u{1f600} last line';
    await writeFile(policyPath(folder), others);
    await addImage(folder, imageOf(1));
    const first = await writePolicy(folder);
    expect(first.text.startsWith(`${others}\n# BEGIN cvm-builder`)).toBe(true);
    const after = '\nallow if data.plugin == "other"';
    await writeFile(policyPath(folder), first.text + after);
    await addImage(folder, imageOf(2));
    const second = await writePolicy(folder);
    expect(second.text.startsWith(others)).toBe(true);
    expect(second.text.endsWith(`# END cvm-builder\n${after}`)).toBe(true);
    expect(second.text).toContain(imageOf(2).resourcePath);
    expect(second.text.match(/# BEGIN cvm-builder/g)).toHaveLength(1);
    expect(second.warnings.join()).toMatch(/further "allow" rule/);
  });

  test.each([
    ['lacks the import', 'package policy\ndefault allow := false\n'],
    ['is of another package', 'package other\nimport rego.v1\n'],
    ['has half a mark', 'package policy\nimport rego.v1\n# BEGIN cvm-builder\n'],
  ])('a file that %s is refused and stays as it is', async (_, text) => {
    await writeFile(policyPath(folder), text);
    await expect(writePolicy(folder)).rejects.toThrow(/^cannot update the policy /);
    expect(await readFile(policyPath(folder), 'utf8')).toBe(text);
  });

  test('a file that is not UTF-8 is refused and stays as it is', async () => {
    const bytes = Buffer.from('package policy\nimport rego.v1\n# \xff\n', 'latin1');
    await writeFile(policyPath(folder), bytes);
    await expect(writePolicy(folder)).rejects.toThrow('not UTF-8');
    expect(await readFile(policyPath(folder))).toEqual(bytes);
  });
});

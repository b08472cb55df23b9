import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Base, buildBase } from '../../src/base/index.ts';
import { openCache } from '../../src/graph/cache.ts';
import { templatePath } from '../../src/host/template.ts';
import { squashfsDifference } from '../support/squashfs-difference.ts';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'base-identity-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const build = (cache: string): Promise<Base> =>
  buildBase({ recipe: templatePath('base'), cache: openCache(join(folder, cache)) });

test('two builds of a base from the same packages are the same byte for byte', async () => {
  const one = await build('one-cache');
  const other = await build('other-cache');
  const [ofOne, ofOther] = await Promise.all([one, other].map(({ packages }) => readFile(packages, 'utf8')));
  expect(ofOther, 'the archive changed between the two builds: run it again').toBe(ofOne);
  if (one.id !== other.id)
    expect.fail(`first difference: ${await squashfsDifference(one.squashfs, other.squashfs, folder)}`);
  expect(await readFile(other.kernel)).toEqual(await readFile(one.kernel));
});

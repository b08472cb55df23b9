import { mkdir, mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execa } from 'execa';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Base, buildBase } from '../../src/base/index.ts';
import { openCache } from '../../src/graph/cache.ts';
import { templatePath } from '../../src/host/template.ts';
import { firstDifference } from '../support/tree-difference.ts';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'base-identity-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const build = (cache: string): Promise<Base> =>
  buildBase({ recipe: templatePath('base'), cache: openCache(join(folder, cache)) });

/** The trees of two bases, unpacked with owners and times as far as this account may, and compared. */
async function difference(one: Base, other: Base): Promise<string> {
  for (const [name, { squashfs }] of Object.entries({ one, other })) {
    await mkdir(join(folder, name));
    const reader = execa('sqfs2tar', [squashfs], { buffer: false });
    await reader.pipe(execa('tar', ['-x', '-C', join(folder, name), '--exclude=dev', '--exclude=./dev']));
  }
  const found = await firstDifference(join(folder, 'one'), join(folder, 'other'), { times: true });
  return found ?? 'the files are the same; their order or an attribute differs';
}

test('two builds of a base from the same packages are the same byte for byte', async () => {
  const one = await build('one-cache');
  const other = await build('other-cache');
  const [ofOne, ofOther] = await Promise.all([one, other].map(({ packages }) => readFile(packages, 'utf8')));
  expect(ofOther, 'the archive changed between the two builds: run it again').toBe(ofOne);
  if (one.id !== other.id) expect.fail(`first difference: ${await difference(one, other)}`);
  expect(await readFile(other.kernel)).toEqual(await readFile(one.kernel));
});

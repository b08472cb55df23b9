import { copyFile, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { completionKey } from '../../../src/base/check/complete.ts';
import type { Base } from '../../../src/base/index.ts';
import type { BuildSettings } from '../../../src/build/settings.ts';
import { usableBase } from '../../../src/build/usable-base.ts';
import { type Cache, openCache } from '../../../src/graph/cache.ts';
import { type Files, smallBase, wholeBase } from '../base/small-base.ts';

let folder: string;
let cache: Cache;
let warnings: string[];
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'usable-base-test-'));
  cache = openCache(join(folder, 'cache'));
  warnings = [];
});
afterEach(() => rm(folder, { recursive: true }));

const signal = new AbortController().signal;
const asBase = (squashfs: string) => ({ id: 'f'.repeat(64), squashfs, origin: 'disk.qcow2' }) as Base;

/** What a build makes of a base with these changes. */
async function use(changes: Files, kind: 'production' | 'development', ports: number[] = []) {
  await using small = await smallBase({ ...wholeBase(), ...changes });
  const settings = { kind, site: { allowedOutPorts: ports, issuers: [] } } as unknown as BuildSettings;
  const found = asBase(small.image);
  const used = await usableBase(found, { settings, cache }, { signal, warn: (text) => warnings.push(text) });
  return { used, found };
}

it('takes a base that has everything', async () => {
  const { used, found } = await use({}, 'development', [2049]);
  expect(used).toBe(found);
  expect(warnings).toEqual([]);
});

it('refuses a base that could not boot', async () => {
  await expect(use({ 'usr/bin/crun': undefined }, 'production')).rejects.toMatchObject({
    message: 'cannot use the base (disk.qcow2): it lacks something that the CVM needs',
    hint: expect.stringContaining('apt-get install crun'),
  });
});

it('asks for jose where the bundle is for development, and only there', async () => {
  const changes = { 'usr/bin/jose': undefined };
  await expect(use(changes, 'development')).rejects.toThrow('it lacks something');
  await expect(use(changes, 'production')).resolves.toBeDefined();
});

it('warns where the site may mount a share, and the base cannot', async () => {
  await use({ 'usr/sbin/mount.nfs': undefined }, 'production', [443]);
  expect(warnings).toEqual([]);
  await use({ 'usr/sbin/mount.nfs': undefined }, 'production', [443, 2049]);
  expect(warnings).toEqual([expect.stringContaining('the base has no /usr/sbin/mount.nfs')]);
});

it('uses the completed base in place of the one that was found', async () => {
  await using whole = await smallBase(wholeBase());
  const id = 'e'.repeat(64);
  await cache.entry('base', completionKey('f'.repeat(64)), async (entry) => {
    await writeFile(join(entry, 'meta.json'), JSON.stringify({ id, origin: 'completed' }));
    await copyFile(whole.image, join(entry, 'base.squashfs'));
  });
  const { used } = await use({ 'usr/bin/crun': undefined }, 'production');
  expect(used).toMatchObject({ id, origin: 'completed' });
});

import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { completeBase } from '../../../src/base/check/complete.ts';
import { type Cache, openCache } from '../../../src/graph/cache.ts';
import { sha256File } from '../../../src/host/files.ts';
import { templatePath } from '../../../src/host/template.ts';
import { elf, smallBase, wholeBase } from './small-base.ts';

const recipe = templatePath('base');
let folder: string;
let cache: Cache;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'complete-test-'));
  cache = openCache(join(folder, 'cache'));
});
afterAll(() => rm(folder, { recursive: true }));

const named = async (image: string) => ({
  id: (await sha256File(image)).hex,
  squashfs: image,
  origin: 'test',
});

describe('completeBase', () => {
  it('does nothing where nothing is missing', async () => {
    await using base = await smallBase(wholeBase());
    expect(await completeBase({ cache, recipe, base: await named(base.image) })).toBeUndefined();
    expect(await readdir(cache.root)).not.toContain('base');
  });

  it('says at once where no package would help, or where there is no apt', async () => {
    const attempt = async (changes: object) => {
      await using base = await smallBase({ ...wholeBase(), 'usr/bin/jose': undefined, ...changes });
      return await completeBase({ cache, recipe, base: await named(base.image) });
    };
    await expect(attempt({ 'usr/lib/os-release': 'ID=fedora\nNAME=Fedora\n' })).rejects.toThrow(
      'cannot complete the base: Fedora has no apt',
    );
    await expect(attempt({ 'usr/lib/systemd/systemd': elf(183, { isStatic: false }) })).rejects.toMatchObject(
      { details: ['programs for amd64 (it has those of arm64): the CVM is an x86-64 machine'] },
    );
  });
});

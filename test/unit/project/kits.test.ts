import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { findKits, kitOf } from '../../../src/project/kits.ts';

let folder: string;
let file: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'kits-test-'));
  file = join(folder, 'project.yml');
});
afterEach(() => rm(folder, { recursive: true }));

const make = async (...names: string[]) => {
  for (const name of names) await mkdir(join(folder, 'workspace/example', name), { recursive: true });
};

describe('the startup kits of a project', () => {
  it('are those of the highest prod number, not of the last by name or time', async () => {
    await make('prod_09', 'prod_100', 'prod_10', 'prod_99', 'prod_old', 'wip', 'state');
    expect(await findKits('example', file)).toBe(join(folder, 'workspace/example/prod_100'));
  });

  it('are those of a folder that is named', async () => {
    await make('prod_00', 'prod_01');
    const named = join(folder, 'workspace/example/prod_00');
    expect(await findKits('example', file, named)).toBe(named);
    await expect(findKits('example', file, `${named}0`)).rejects.toThrow('there is no folder');
  });

  it('are missed where FLARE has not provisioned', async () => {
    await make('state');
    await expect(findKits('example', file)).rejects.toThrow(
      expect.objectContaining({
        message: expect.stringMatching(/there is no prod_NN in .*\/workspace\/example/),
        hint: expect.stringContaining('nvflare provision'),
      }),
    );
  });

  it('are not taken from what is no kit', async () => {
    await make('prod_00/site-1/startup', 'prod_00/site-2', 'prod_00/site-3');
    const kits = join(folder, 'workspace/example/prod_00');
    await writeFile(join(kits, 'site-2/site-2.tgz'), '');
    expect(await kitOf(kits, 'site-1')).toBe(join(kits, 'site-1'));
    await expect(kitOf(kits, 'site-2')).rejects.toThrow(
      expect.objectContaining({
        message: expect.stringContaining('holds a bundle in place of the kit'),
        hint: expect.stringContaining('leave `packager:` out of project.yml'),
      }),
    );
    await expect(kitOf(kits, 'site-3')).rejects.toThrow('has no folder startup');
    await expect(kitOf(kits, 'site-4')).rejects.toThrow('site-4 has no folder in');
  });
});

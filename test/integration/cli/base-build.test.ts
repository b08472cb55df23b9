import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execa } from 'execa';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { builtBaseKey } from '../../../src/base/recipe/build.ts';
import type { OptionalList } from '../../../src/base/recipe/lists.ts';
import { openCache } from '../../../src/graph/cache.ts';
import { templatePath } from '../../../src/host/template.ts';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'base-build-test-'));
  await writeFile(join(folder, 'builder.yml'), `cache: ${folder}/cache\n`);
});
afterEach(() => rm(folder, { recursive: true }));

async function baseBuild(...args: string[]) {
  const main = join(import.meta.dirname, '../../../src/cli/main.ts');
  const config = ['--config', join(folder, 'builder.yml')];
  const { stdout, stderr, exitCode } = await execa(
    process.execPath,
    [main, 'base', 'build', ...config, ...args],
    { cwd: folder, reject: false, extendEnv: false, env: { HOME: folder, PATH: process.env.PATH ?? '' } },
  );
  return { stdout, stderr, status: exitCode };
}

/** Puts a base of a suite into the cache, as an earlier build would have. */
async function cached(id: string, suite: string, lists: OptionalList[]): Promise<void> {
  const key = await builtBaseKey({ recipe: templatePath('base'), suite, lists });
  await openCache(join(folder, 'cache')).entry('base', key, async (entry) => {
    const meta = {
      id,
      kernelRelease: '6.12.1',
      origin: `mmdebstrap ${suite}`,
      builtAt: '2026-01-02T03:04:05Z',
    };
    await writeFile(join(entry, 'meta.json'), JSON.stringify(meta));
    await writeFile(join(entry, 'packages.tsv'), 'kmod\t30\nsystemd\t252\n');
  });
}

describe('cvm base build', () => {
  it('prints id, kernel, number of packages and place of a base that the cache has', async () => {
    await cached('a'.repeat(64), 'trixie', ['nfs']);
    const { stdout, status } = await baseBuild('--suite', 'trixie');
    expect(status).toBe(0);
    expect(stdout).toContain(`base      ${'a'.repeat(64)}\n`);
    expect(stdout).toContain('mmdebstrap trixie, 2026-01-02, from the cache');
    expect(stdout).toContain('kernel    6.12.1');
    expect(stdout).toMatch(/packages {2}2, listed in .*\/packages\.tsv/);
    expect(stdout).toMatch(/file {6}.*\/base\.squashfs$/);
  });

  it('takes a base of its own for each choice of lists', async () => {
    await cached('c'.repeat(64), 'trixie', []);
    await cached('d'.repeat(64), 'trixie', ['nfs', 'gpu']);
    expect((await baseBuild('--suite', 'trixie', '--with', 'core')).stdout).toContain('c'.repeat(64));
    expect((await baseBuild('--suite', 'trixie', '--with', 'gpu,nfs')).stdout).toContain('d'.repeat(64));
  });

  it.each([
    ['--with', 'nfs,cuda', 'there is no list "cuda"'],
    ['--with', '', 'there is no list ""'],
    ['--suite', '-o=Evil', 'it is no name of a suite'],
  ])('refuses %s %j', async (option, value, message) => {
    const { stdout, stderr, status } = await baseBuild(`${option}=${value}`);
    expect(stderr).toContain(message);
    expect(stdout).toBe('');
    expect(status).toBe(2);
  });
});

import { appendFile, cp } from 'node:fs/promises';
import { join } from 'node:path';
import { type Base, buildBase } from '../../src/base/index.ts';
import { defaultCacheRoot, openCache } from '../../src/graph/cache.ts';
import { lockFile } from '../../src/host/lock.ts';
import { workDirectory } from '../../src/host/temp.ts';
import { templatePath } from '../../src/host/template.ts';

/**
 * A base as an installed system is: with apt and its sources, which our own recipe leaves out. In this account's own cache, made
 * there once, in about a minute.
 */
export async function aptBase(): Promise<Base> {
  const cache = openCache(defaultCacheRoot());
  await cache.list(); // makes the folder
  await using _lock = await lockFile(join(cache.root, '.tests-lock'), { timeoutMs: 600_000 });
  await using work = await workDirectory();
  const recipe = join(work.path, 'recipe');
  await cp(templatePath('base'), recipe, { recursive: true });
  await appendFile(join(recipe, 'core.txt'), 'apt  # what a completion installs with\n');
  return await buildBase({ cache, recipe });
}

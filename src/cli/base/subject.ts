import { type Base, cachedBase, importBase, knownBases } from '../../base/index.ts';
import { baseRecipe } from '../../build/base-recipe.ts';
import { readBuilderFile } from '../../build/builder-file.ts';
import { cacheRoot } from '../../build/settings.ts';
import { type Cache, openCache } from '../../graph/cache.ts';
import { exitStatus, hasCode, messageOf, UserError } from '../../host/errors.ts';
import { openRegularFile, sha256File } from '../../host/files.ts';

/** What a command on a base works on. */
export interface BaseSubject {
  cache: Cache;
  base: Pick<Base, 'id' | 'squashfs' | 'origin'>;
}

export interface BaseSubjectFlags {
  /** builder.yml. */
  config?: string;
}

/**
 * Finds the base that was meant.
 * @param named a squashfs file, a disk image or archive, which is imported first, or the beginning of a base's id in the cache; without it the base that is built here
 * @throws UserError where there is none, or several.
 */
export async function baseSubject(
  named: string | undefined,
  flags: BaseSubjectFlags,
  signal?: AbortSignal,
): Promise<BaseSubject> {
  const cache = openCache(await cacheRoot());
  if (named === undefined) return { cache, base: await builtBase(cache, flags) };
  const isFile = await isSquashfs(named);
  if (isFile !== undefined) {
    if (!isFile) return { cache, base: (await importBase({ file: named, cache, signal })).base };
    const { hex: id } = await sha256File(named, { signal });
    return { cache, base: { id, squashfs: named, origin: named } };
  }
  return { cache, base: await baseById(cache, named) };
}

async function builtBase(cache: Cache, flags: BaseSubjectFlags): Promise<Base> {
  const { builder } = await readBuilderFile(flags.config);
  const base = await cachedBase(cache, baseRecipe(builder));
  if (base !== undefined) return base;
  throw new UserError('cannot look into the base: none was built yet', {
    hint: 'the first `cvm build` makes it; or name a squashfs, or the id of a base in the cache',
  });
}

async function baseById(cache: Cache, named: string): Promise<Base> {
  const found = /^[0-9a-f]{6,64}$/.test(named) ? await knownBases(cache, named) : [];
  const [base] = found;
  if (base !== undefined && found.every(({ id }) => id === base.id)) return base;
  throw new UserError(
    `cannot find the base ${JSON.stringify(named)}: ${found.length > 0 ? 'several begin so' : 'there is neither such a file nor such a base in the cache'}`,
    { hint: '`cvm cache list` shows the bases', status: exitStatus.usage },
  );
}

/** By the first bytes; undefined where there is no such file. @throws UserError where it is none that can be read */
async function isSquashfs(path: string): Promise<boolean | undefined> {
  try {
    await using file = await openRegularFile(path);
    const { buffer, bytesRead } = await file.read(Buffer.alloc(4), 0, 4, 0);
    return bytesRead === 4 && buffer.toString('latin1') === 'hsqs';
  } catch (error) {
    if (hasCode(error, 'ENOENT') || hasCode(error, 'ENOTDIR')) return undefined;
    throw new UserError(`cannot look into the base ${path}: ${messageOf(error)}`, { cause: error });
  }
}

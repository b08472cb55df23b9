import { mkdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { type Cache, contentKey } from '../graph/cache.ts';
import { recordedDigest, requireDigest } from '../host/digests.ts';
import { sha256File } from '../host/files.ts';
import { unpackSquashfs } from '../host/squashfs.ts';
import { workDirectory } from '../host/temp.ts';
import { readList } from './collect.ts';
import { joinArchives, packCpio } from './cpio.ts';
import { clientsPart, developmentPart, type ExtraProgram, type Part, systemPart } from './parts.ts';

/** The base that programs, libraries and modules are taken from. */
export interface ProgramSource {
  /** Content key of the squashfs. */
  id: string;
  squashfs: string;
  kernelRelease: string;
}

/** Who asks for the key. A production initrd has the user's kbs-client, a development one the sample client. */
export type KeyClient = { kind: 'development' } | { kind: 'production'; programs: readonly ExtraProgram[] };

export interface GenericOptions {
  cache: Cache;
  base: ProgramSource;
  client: KeyClient;
  signal?: AbortSignal | undefined;
}

const cacheKind = 'initrd';
const archiveName = 'part.cpio.zst';

/** The generic parts where all were made before: see {@link makeGenericParts}. */
export async function cachedGenericParts(options: GenericOptions): Promise<string[] | undefined> {
  const { cache } = options;
  const keys = await genericPartKeys(options);
  const folders = await Promise.all(keys.map((key) => cache.lookup(cacheKind, key)));
  return folders.every((folder) => folder !== undefined)
    ? folders.map((folder) => join(folder, archiveName))
    : undefined;
}

/** Content keys of the generic parts, in order: what each is made from. */
export async function genericPartKeys(options: Pick<GenericOptions, 'base' | 'client'>): Promise<string[]> {
  return (await genericParts(options)).map((part) => contentKey(options.base.id, part.key));
}

/** Takes the generic parts out of the cache, so that they are made again. */
export async function forgetGenericParts(options: GenericOptions): Promise<void> {
  for (const key of await genericPartKeys(options)) await options.cache.remove(cacheKind, key);
}

/**
 * Makes the parts that do not depend on the site: the system, then the client that asks for the key. The base is
 * unpacked once, and only where a part is not cached.
 * @returns paths of zstd-compressed cpio archives, in order
 */
export async function makeGenericParts(options: GenericOptions): Promise<string[]> {
  const { cache, base, signal } = options;
  await using stack = new AsyncDisposableStack();
  let sysroot: Promise<string> | undefined;
  const unpackOnce = () => {
    sysroot ??= unpackedBase().then(async (work) => {
      stack.use(work);
      requireDigest(base.squashfs, base.id, (await sha256File(base.squashfs, { signal })).hex);
      await unpackSquashfs(base.squashfs, work.path, signal);
      return work.path;
    });
    return sysroot;
  };
  // zstd makes a quarter of a system.
  const unpackedBase = async () => workDirectory({ bytes: 5 * (await stat(base.squashfs)).size });
  const archives: string[] = [];
  for (const part of await genericParts(options)) {
    const folder = await cache.entry(cacheKind, contentKey(base.id, part.key), async (entry) => {
      const tree = join(entry, 'tree');
      await mkdir(tree);
      await part.fill({ sysroot: await unpackOnce(), tree, signal });
      await packCpio(tree, join(entry, archiveName), 9, signal);
      await rm(tree, { recursive: true });
    });
    archives.push(join(folder, archiveName));
  }
  return archives;
}

async function genericParts({ base, client }: Pick<GenericOptions, 'base' | 'client'>): Promise<Part[]> {
  return [
    await systemPart(base.kernelRelease),
    client.kind === 'development' ? await developmentPart() : clientsPart(client.programs),
  ];
}

/**
 * Joins the generic parts and the site's own into the initrd.
 * @param generic files of cache entries
 * @returns SHA-256 of the initrd, lower-case hex
 * @throws UserError where a generic part is not what was cached
 */
export async function makeInitrd(
  generic: readonly string[],
  site: string,
  target: string,
  signal?: AbortSignal,
): Promise<string> {
  const { parts, whole } = await joinArchives([...generic, site], target, signal);
  for (const [i, file] of generic.entries()) requireDigest(file, await recordedDigest(file), parts[i]!);
  return whole;
}

/** Names of the modules that InitApp loads, a line each. */
export async function moduleList(): Promise<string> {
  return `${(await readList('modules.txt')).join('\n')}\n`;
}

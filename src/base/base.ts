import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Cache } from '../graph/cache.ts';

/** A base system in the cache. */
export interface Base {
  /** SHA-256 of base.squashfs, lower-case hex: the content key of all that is made from it. */
  id: string;
  /** Root file system, squashfs. */
  squashfs: string;
  /** Linux kernel image (bzImage), as the distribution signed it. */
  kernel: string;
  /** Kernel release, the name of its folder below /usr/lib/modules. */
  kernelRelease: string;
  /** Where it came from, for people. */
  origin: string;
  /** ISO 8601 in UTC. */
  builtAt: string;
  /**
   * Its packages, one a line, sorted: `name<TAB>version<TAB>architecture<TAB>source package<TAB>source version`. The last three may be
   * absent where only names and versions are known.
   */
  packages: string;
}

/** What an entry's meta.json holds. */
export type BaseMeta = Pick<Base, 'id' | 'kernelRelease' | 'origin' | 'builtAt'>;

/** Opens a cache entry that {@link buildBase} filled. */
export async function openBase(folder: string): Promise<Base> {
  const meta = JSON.parse(await readFile(join(folder, 'meta.json'), 'utf8')) as BaseMeta;
  return {
    ...meta,
    squashfs: join(folder, 'base.squashfs'),
    kernel: join(folder, 'vmlinuz'),
    packages: join(folder, 'packages.tsv'),
  };
}

/** Cache entries that are bases. */
export const baseKind = 'base';

/** Every base in the cache whose id begins so, or in whose entry's key does. */
export async function knownBases(cache: Cache, beginning: string): Promise<Base[]> {
  const bases: Base[] = [];
  for (const { kind, key } of await cache.list()) {
    if (kind !== baseKind) continue;
    const folder = await cache.lookup(kind, key);
    const base = folder && (await openBase(folder));
    if (base && (base.id.startsWith(beginning) || key.startsWith(beginning))) bases.push(base);
  }
  return bases;
}

import { readFile, stat } from 'node:fs/promises';
import { type Base, knownBases } from '../../base/index.ts';
import type { Manifest } from '../../bundle/index.ts';
import type { Cache } from '../../graph/cache.ts';
import { sha256File } from '../../host/files.ts';
import type { SealedSegment } from '../initrd/sealed.ts';
import { type InstalledPackage, listedPackages } from '../packages/package.ts';

/** The base that a bundle was most likely made of, by what shows without the key. */
export interface LikelyBase {
  id: string;
  origin: string;
  packages: InstalledPackage[];
}

/**
 * Finds a base in the cache with the bundle's kernel and with a squashfs as long as the bundle's. A bundle does not name its base; only
 * the key proves which it is.
 * @returns undefined where none fits, or several that hold different packages
 */
export async function likelyBase(
  { files }: Manifest,
  segment: SealedSegment | undefined,
  cache: Cache,
): Promise<LikelyBase | undefined> {
  const fitting: { base: Base; list: string }[] = [];
  for (const base of await knownBases(cache, '')) {
    if (segment === undefined) break;
    const { size } = await stat(base.squashfs).catch(() => ({ size: -1 }));
    const kernel = await sha256File(base.kernel).catch(() => undefined);
    if (kernel?.hex !== files.vmlinuz.sha256) continue;
    const list = await readFile(base.packages, 'utf8').catch(() => undefined);
    if (Math.ceil(size / 4096) * 4096 === segment.bytes && list !== undefined) fitting.push({ base, list });
  }
  const [first] = fitting;
  if (first === undefined || fitting.some(({ base }) => base.id !== first.base.id)) return undefined;
  return { id: first.base.id, origin: first.base.origin, packages: listedPackages(first.list) };
}

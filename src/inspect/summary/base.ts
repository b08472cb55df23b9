import { readFile, stat } from 'node:fs/promises';
import { type Base, knownBases } from '../../base/index.ts';
import type { Manifest } from '../../bundle/index.ts';
import type { Cache } from '../../graph/cache.ts';
import { sha256File } from '../../host/files.ts';
import type { SealedSegment } from '../initrd/sealed.ts';
import { type InstalledPackage, listedPackages } from '../packages/package.ts';

/** The base that a bundle was made of, as far as that shows without the key. */
export interface KnownBase {
  id: string;
  origin: string;
  /** Undefined where the base is not in the cache any more. */
  packages: InstalledPackage[] | undefined;
}

/** A base as the build record names it. */
export type RecordedBase = Pick<KnownBase, 'id' | 'origin'>;

/** The base that a build record names, with its packages where the cache still has it. */
export async function recordedBase({ id, origin }: RecordedBase, cache: Cache): Promise<KnownBase> {
  for (const base of await knownBases(cache, id)) {
    const list = await readFile(base.packages, 'utf8').catch(() => undefined);
    if (base.id === id && list !== undefined) return { id, origin, packages: listedPackages(list) };
  }
  return { id, origin, packages: undefined };
}

/**
 * Finds a base in the cache with the bundle's kernel and with a squashfs as long as the bundle's, for a bundle whose build record is not
 * here. A bundle does not name its base; only the key proves which it is.
 * @returns undefined where none fits, or several that hold different packages
 */
export async function likelyBase(
  { files }: Manifest,
  segment: SealedSegment | undefined,
  cache: Cache,
): Promise<KnownBase | undefined> {
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

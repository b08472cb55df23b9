import { UserError } from '../../host/errors.ts';
import { describeSquashfs, readSquashfsFile, type SquashfsEntry } from '../../host/squashfs.ts';
import { apkPackages, distributionOf, dpkgPackages, type InstalledPackage } from './package.ts';

/** What the package databases of stacked layers say. */
export interface PackageReport {
  packages: InstalledPackage[];
  /** Such as `debian` and `12`, where os-release names them. */
  distribution: { id: string; version: string | undefined } | undefined;
  /** Databases that are there and are not read. */
  unread: string[];
}

/** Largest database that is read, bytes. */
const limit = 64 * 2 ** 20;
const mostFiles = 10_000;

const osReleases = ['etc/os-release', 'usr/lib/os-release'];
const dpkgStatus = 'var/lib/dpkg/status';
const dpkgFolder = /^var\/lib\/dpkg\/status\.d\/[^/]+$/;
const apkInstalled = ['lib/apk/db/installed', 'usr/lib/apk/db/installed'];
const rpmFiles = /^(?:var\/lib\/rpm|usr\/lib\/sysimage\/rpm)\/(?:rpmdb\.sqlite|Packages|Packages\.db)$/;

/** Files that matter here, as they show through the layers: where each lies, or that a layer removes it. */
type Shown = Map<string, string | 'removed'>;

/**
 * Reads the package databases of layers, the lowest first, as overlayfs shows them: a file of an upper layer hides that of a lower one.
 * @param layers squashfs files
 */
export async function layerPackages(layers: readonly string[], signal?: AbortSignal): Promise<PackageReport> {
  const shown: Shown = new Map();
  const unread: string[] = [];
  for (const layer of layers) {
    for (const entry of await describeSquashfs(layer, signal)) show(shown, entry, layer);
  }
  const read = async (path: string): Promise<string | undefined> => {
    const layer = shown.get(path);
    if (layer === undefined || layer === 'removed') return undefined;
    try {
      return (await readSquashfsFile(layer, path, { limit, signal })).toString('utf8');
    } catch (error) {
      // Too large, or a name that only looks like one: the image's author must not be able to keep the rest from being told.
      signal?.throwIfAborted();
      if (!(error instanceof UserError)) throw error;
      unread.push(path);
      return undefined;
    }
  };
  const packages: InstalledPackage[] = dpkgPackages((await read(dpkgStatus)) ?? '');
  for (const path of [...shown.keys()].filter((name) => dpkgFolder.test(name)).slice(0, mostFiles))
    packages.push(...dpkgPackages((await read(path)) ?? ''));
  for (const path of apkInstalled) packages.push(...apkPackages((await read(path)) ?? ''));
  let distribution: PackageReport['distribution'];
  for (const path of osReleases) distribution ??= distributionOf((await read(path)) ?? '');
  for (const [path, layer] of shown) if (rpmFiles.test(path) && layer !== 'removed') unread.push(path);
  return { packages: inOrder(packages), distribution, unread: unread.map((path) => `/${path}`) };
}

const matters = (path: string) =>
  path === dpkgStatus ||
  dpkgFolder.test(path) ||
  apkInstalled.includes(path) ||
  osReleases.includes(path) ||
  rpmFiles.test(path);

function show(shown: Shown, { type, path }: SquashfsEntry, layer: string): void {
  if (type === 'file' && matters(path)) shown.set(path, layer);
  // A whiteout is a device 0:0, and a layer holds no other devices; it hides what lies below, folders with all in them.
  if (type !== 'nod') return;
  for (const name of shown.keys()) {
    if ((name === path || name.startsWith(`${path}/`)) && shown.get(name) !== layer)
      shown.set(name, 'removed');
  }
}

function inOrder(packages: readonly InstalledPackage[]): InstalledPackage[] {
  const key = ({ type, name, version, architecture = '' }: InstalledPackage) =>
    [type, name, version, architecture].join('\0');
  const byKey = new Map(packages.map((one) => [key(one), one]));
  return [...byKey].sort(([one], [other]) => (one < other ? -1 : 1)).map(([, one]) => one);
}

import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pathExists } from 'fs-extra/esm';
import type { Cache } from '../../graph/cache.ts';
import { builtKey } from './build.ts';
import { fetchedKey, fetchFirmware } from './fetch.ts';
import { cacheKind, type FoundFirmware, fileName } from './place.ts';

export interface FindFirmwareOptions {
  cache: Cache;
  /** The user's base_images folder. */
  baseImages: string;
  signal?: AbortSignal | undefined;
  progress?: (text: string) => void;
}

/** One place where firmware may be. */
export interface FirmwarePlace {
  /** For people: `base_images/OVMF.amdsev.fd`, `built by cvm base firmware build`, … */
  place: string;
  /** What is there; undefined where there is nothing. */
  found: FoundFirmware | undefined;
}

/** Where Ubuntu's ovmf and Debian's ovmf-amdsev put it. */
const installedPaths = ['/usr/share/ovmf/OVMF.amdsev.fd', '/usr/share/OVMF/OVMF.amdsev.fd'];

/** Every place that needs no network, in the order in which a build looks: it takes the first that holds something. */
export async function firmwarePlaces(
  options: Pick<FindFirmwareOptions, 'cache' | 'baseImages'>,
): Promise<FirmwarePlace[]> {
  const own = join(options.baseImages, fileName);
  const file = async (path: string, origin: string) =>
    (await pathExists(path)) ? { file: path, origin } : undefined;
  const cached = async (key: string) => {
    const folder = await options.cache.lookup(cacheKind, key);
    return folder === undefined ? undefined : inEntry(folder);
  };
  const installed = installedPaths.map(async (path) => ({ place: path, found: await file(path, path) }));
  return [
    { place: `base_images/${fileName}`, found: await file(own, 'base_images/') },
    { place: 'built by `cvm base firmware build`', found: await cached(await builtKey()) },
    ...(await Promise.all(installed)),
    { place: "fetched from Debian's ovmf-amdsev", found: await cached(fetchedKey()) },
  ];
}

/** The firmware that needs no download, or undefined. */
export async function localFirmware(
  options: Pick<FindFirmwareOptions, 'cache' | 'baseImages'>,
): Promise<FoundFirmware | undefined> {
  return (await firmwarePlaces(options)).find(({ found }) => found !== undefined)?.found;
}

/**
 * Finds the firmware: base_images/, one that was built here, an installed package, else Debian's package, fetched
 * once by apt, which checks the archive's signature, without touching the system's own sources.
 * @throws UserError where no suite has it or none can be reached.
 */
export async function findFirmware(options: FindFirmwareOptions): Promise<FoundFirmware> {
  return (await localFirmware(options)) ?? (await fetchedFirmware(options));
}

/** Debian's package, whatever else is there. Throws as {@link findFirmware} does. */
export async function fetchedFirmware(
  options: Omit<FindFirmwareOptions, 'baseImages'>,
): Promise<FoundFirmware> {
  return inEntry(
    await options.cache.entry(cacheKind, fetchedKey(), (entry) => fetchFirmware(entry, options)),
  );
}

/** What a cache entry of {@link cacheKind} holds. */
export async function inEntry(folder: string): Promise<FoundFirmware> {
  return { file: join(folder, fileName), origin: await readFile(join(folder, 'origin'), 'utf8') };
}

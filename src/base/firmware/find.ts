import { copyFile, mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pathExists } from 'fs-extra/esm';
import { type Cache, contentKey } from '../../graph/cache.ts';
import { messageOf, UserError } from '../../host/errors.ts';
import { run } from '../../host/run.ts';
import { type AptSource, hostSources, PrivateApt, sourcesList } from '../apt.ts';

/** Where OVMF.amdsev.fd was found. */
export interface FoundFirmware {
  /** The firmware file. */
  file: string;
  /** For people: `base_images/`, `package ovmf-amdsev 2026.08+ds-2 (forky)`, … */
  origin: string;
}

export interface FindFirmwareOptions {
  cache: Cache;
  /** The user's base_images folder. */
  baseImages: string;
  signal?: AbortSignal | undefined;
  progress?: (text: string) => void;
}

const fileName = 'OVMF.amdsev.fd';
const packageName = 'ovmf-amdsev';

/** Where Ubuntu's ovmf and Debian's ovmf-amdsev put it. */
const installedPaths = ['/usr/share/ovmf/OVMF.amdsev.fd', '/usr/share/OVMF/OVMF.amdsev.fd'];

/** Debian suites that have the package, the more settled one first. Bookworm and trixie have none. */
const suites = ['forky', 'sid'];

const hint = `put the file into base_images/, or install it: apt-get install ${packageName} (Debian forky or later), ovmf (Ubuntu 25.04 or later)`;

/** The firmware that needs no download, or undefined. */
export async function localFirmware(options: FindFirmwareOptions): Promise<FoundFirmware | undefined> {
  const own = join(options.baseImages, fileName);
  if (await pathExists(own)) return { file: own, origin: 'base_images/' };
  for (const file of installedPaths) {
    if (await pathExists(file)) return { file, origin: file };
  }
  const folder = await options.cache.lookup('firmware', firmwareKey());
  return folder === undefined ? undefined : fetched(folder);
}

/**
 * Finds the firmware: base_images/, an installed package, else Debian's package, fetched once by apt, which
 * checks the archive's signature, without touching the system's own sources.
 * @throws UserError where no suite has it or none can be reached.
 */
export async function findFirmware(options: FindFirmwareOptions): Promise<FoundFirmware> {
  const local = await localFirmware(options);
  if (local !== undefined) return local;
  const folder = await options.cache.entry('firmware', firmwareKey(), (entry) =>
    fetchFirmware(entry, options),
  );
  return fetched(folder);
}

function firmwareKey(): string {
  return contentKey(packageName, ...suites);
}

async function fetched(folder: string): Promise<FoundFirmware> {
  return { file: join(folder, fileName), origin: await readFile(join(folder, 'origin'), 'utf8') };
}

async function fetchFirmware(entry: string, { signal, progress }: FindFirmwareOptions): Promise<void> {
  const work = join(entry, 'work');
  await mkdir(work);
  const archive = (await hostSources(join(work, 'host'), signal)).find(({ keyring }) =>
    keyring.includes('debian'),
  );
  if (archive === undefined) {
    throw new UserError(`cannot fetch ${fileName}: this host has no Debian archive among its apt sources`, {
      hint,
    });
  }
  const failures: string[] = [];
  for (const suite of suites) {
    try {
      progress?.(`fetching ${packageName} from ${suite}`);
      await fetchFrom(suite, archive, join(work, suite), entry, signal);
      await rm(work, { recursive: true });
      return;
    } catch (error) {
      signal?.throwIfAborted();
      failures.push(`${suite}: ${messageOf(error)}`);
    }
  }
  throw new UserError(`cannot fetch ${fileName}: ${failures.join('; ')}`, {
    hint,
  });
}

async function fetchFrom(
  suite: string,
  archive: AptSource,
  folder: string,
  entry: string,
  signal?: AbortSignal,
): Promise<void> {
  // The host's own mirror, its base suite: bookworm-security lies at another address.
  const source: AptSource = { ...archive, suite, codename: suite, component: 'main' };
  await mkdir(folder);
  const list = join(folder, 'sources.list');
  await writeFile(list, sourcesList([source]));
  const apt = await PrivateApt.open(join(folder, 'apt'), list);
  await apt.get(['update'], { signal });
  await apt.get(['download', packageName], { signal, cwd: folder });
  const deb = (await readdir(folder)).find((name) => name.endsWith('.deb'));
  if (deb === undefined) throw new UserError(`cannot fetch ${packageName}: apt left no file`);
  await run('dpkg-deb', ['--extract', join(folder, deb), join(folder, 'files')], { signal });
  await copyFile(join(folder, 'files/usr/share/ovmf', fileName), join(entry, fileName));
  const version = await run('dpkg-deb', ['--field', join(folder, deb), 'Version'], { signal });
  await writeFile(join(entry, 'origin'), `package ${packageName} ${version.trim()} (${suite})`);
}

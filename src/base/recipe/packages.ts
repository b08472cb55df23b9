import { link, open, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { hasCode, UserError } from '../../host/errors.ts';
import { sha256File } from '../../host/files.ts';
import type { RunOptions } from '../../host/run.ts';
import type { PrivateApt } from '../apt.ts';

/** A package that is to be installed, as the signed package lists name it. */
export interface PackageFile {
  /** File name. */
  name: string;
  bytes: number;
  /** Lower-case hex. */
  sha256: string;
}

/** What apt is told when it resolves for a system that does not exist yet. */
const emptySystem = [
  'Dir::State::status=/dev/null',
  'Dir::Etc::Preferences=/dev/null',
  'Dir::Etc::PreferencesParts=/dev/null',
  'APT::Install-Recommends=false',
  'Acquire::ForceHash=SHA256',
  'Debug::NoLocking=true',
  // Else apt counts itself among the essential packages, which mmdebstrap does not.
  'pkgCacheGen::ForceEssential=,',
].flatMap((option) => ['-o', option]);

/** The essential packages of a suite, as mmdebstrap selects them. */
const essential = (suite: string) =>
  `?narrow(?or(?archive(^${suite}$),?codename(^${suite}$)),?architecture(amd64),?essential)`;

/**
 * The packages, with all that they depend on, for an empty system. `apt` has read the package lists.
 * @throws UserError where one cannot be installed.
 */
export async function resolvePackages(
  apt: PrivateApt,
  suite: string,
  packages: readonly string[],
  options: RunOptions = {},
): Promise<PackageFile[]> {
  const args = [...emptySystem, 'install', '--yes', '--print-uris', essential(suite), ...packages];
  return parseUris(await apt.get(args, options));
}

/** Lines of `apt-get --print-uris`: `'URI' FILE BYTES SHA256:HEX`, among others. */
export function parseUris(text: string): PackageFile[] {
  return text.split('\n').flatMap((line) => {
    const match = /^'[^']+' ([^\s/]+\.deb) (\d+) SHA256:([0-9a-f]{64})$/.exec(line);
    return match === null ? [] : [{ name: match[1]!, bytes: Number(match[2]), sha256: match[3]! }];
  });
}

/**
 * Fetches packages into apt's own folder of them. Those that `known` has come from there, by a link, if their SHA-256 is right.
 * @returns which had to be fetched
 * @throws UserError where one cannot be had or is not what the signed list names.
 */
export async function fetchPackages(
  apt: PrivateApt,
  suite: string,
  packages: readonly string[],
  files: readonly PackageFile[],
  { known, ...options }: RunOptions & { known?: string | undefined } = {},
): Promise<PackageFile[]> {
  const present = new Set(known === undefined ? [] : await readdir(known));
  const absent: PackageFile[] = [];
  for (const file of files) {
    // apt takes any file of the right size in its folder for the package, so only what was hashed may get there.
    const usable = present.has(file.name) && (await isFile(join(known!, file.name), file, options.signal));
    if (usable) await link(join(known!, file.name), join(apt.archives, file.name));
    else absent.push(file);
  }
  if (absent.length === 0) return [];
  const args = [...emptySystem, 'install', '--yes', '--download-only', essential(suite), ...packages];
  await apt.get(args, options);
  for (const file of absent) {
    if (!(await isFile(join(apt.archives, file.name), file, options.signal))) {
      throw new UserError(`cannot fetch ${file.name}: it is not what the package list names`);
    }
  }
  return absent;
}

async function isFile(path: string, { bytes, sha256 }: PackageFile, signal?: AbortSignal): Promise<boolean> {
  try {
    const { hex, size } = await sha256File(path, { signal });
    return hex === sha256 && size === bytes;
  } catch (error) {
    signal?.throwIfAborted();
    if (hasCode(error, 'ENOENT')) return false;
    throw error;
  }
}

/**
 * The newest time at which one of these packages was built, in seconds: a property of the packages alone, whenever and from wherever they were
 * fetched. It is the time of a .deb's first member, in the header that follows `!<arch>\n` (deb(5), ar(5): name at 0, 16
 * bytes; time at 16, 12 decimal digits).
 */
export async function newestBuild(folder: string, files: readonly PackageFile[]): Promise<number> {
  let newest = 0;
  for (const { name } of files) {
    await using file = await open(join(folder, name));
    const { buffer, bytesRead } = await file.read(Buffer.alloc(36), 0, 36, 0);
    const time = /^!<arch>\n.{16}(\d+) *$/.exec(buffer.toString('latin1', 0, bytesRead))?.[1];
    if (time === undefined) throw new UserError(`cannot read ${name}: it is no Debian package`);
    newest = Math.max(newest, Number(time));
  }
  return newest;
}

import { copyFile, mkdir, readdir, readFile, rm, statfs, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Cache, contentKey } from '../../graph/cache.ts';
import { UserError } from '../../host/errors.ts';
import { shellLine, start, toolError } from '../../host/run.ts';
import { signaturesRequired } from '../apt.ts';
import { aptOfSuite, debianArchive } from './archive.ts';
import { cacheKind, type FoundFirmware, fileName, recipeFolder } from './place.ts';
import { fetchSource, sourceSuite } from './source.ts';

export interface BuildFirmwareOptions {
  cache: Cache;
  signal?: AbortSignal | undefined;
  progress?: ((text: string) => void) | undefined;
}

/** Bytes that the build takes at most below TMPDIR: tool chain, source, objects. */
const workSpace = 3 * 2 ** 30;

const hint =
  "this step needs the Debian archive of the host's apt sources, and root, or an account with user namespaces and a range in /etc/subuid";

/** Key of what the recipe of today makes. Source and tool chain are those of the suite on the day of the build. */
export async function builtKey(): Promise<string> {
  const recipe = recipeFolder();
  const names = (await readdir(recipe)).sort();
  const texts = await Promise.all(names.map((name) => readFile(join(recipe, name))));
  return contentKey('edk2', sourceSuite, ...names.flatMap((name, index) => [name, texts[index]!]));
}

/** Drops what was built, so that it is built again from the source of today. */
export async function forgetBuiltFirmware(cache: Cache): Promise<void> {
  await cache.remove(cacheKind, await builtKey());
}

/**
 * Builds firmware that starts nothing but what its launch digest covers: Debian's edk2 with the patches of
 * templates/firmware, in a file system made of Debian's packages for it. Once, then from the cache.
 * @throws UserError where source or tools cannot be had, where there is no room, or where the build fails.
 */
export async function buildFirmware(options: BuildFirmwareOptions): Promise<FoundFirmware> {
  const folder = await options.cache.entry(cacheKind, await builtKey(), (entry) => fill(entry, options));
  return { file: join(folder, fileName), origin: await readFile(join(folder, 'origin'), 'utf8') };
}

async function fill(entry: string, { signal, progress }: BuildFirmwareOptions): Promise<void> {
  await refuseWithoutSpace();
  const work = join(entry, 'work');
  // The name it has in the file system of the build.
  const input = join(work, 'firmware');
  await mkdir(input, { recursive: true });
  const archive = await debianArchive(join(work, 'host'), { purpose: 'build the firmware', hint, signal });

  progress?.(`fetching the edk2 source of ${sourceSuite}`);
  const source = await fetchSource(archive, work, signal);
  const recipe = recipeFolder();
  const files = (await readdir(recipe)).filter((name) => /\.(patch|sh)$/.test(name));
  for (const file of [...source.archives, ...files.map((name) => join(recipe, name))]) {
    await copyFile(file, join(input, file.slice(file.lastIndexOf('/') + 1)));
  }

  progress?.('fetching the tool chain');
  const lists = join(work, 'package-lists');
  await mkdir(lists);
  const { list } = await aptOfSuite(archive, sourceSuite, lists, { signal });
  const packages = packageNames(await readFile(join(recipe, 'packages.txt'), 'utf8'));
  await runBuild(debstrapArguments({ packages, list, input, entry }), { signal, progress });
  await rm(work, { recursive: true });
  await writeFile(join(entry, 'origin'), `edk2 ${source.version} of ${sourceSuite} with templates/firmware`);
}

/** Names of a list: one a line, `#` begins a comment. */
export function packageNames(text: string): string[] {
  return text
    .split('\n')
    .map((line) => line.replace(/#.*/, '').trim())
    .filter((line) => line !== '');
}

/**
 * mmdebstrap makes the file system, runs the build in it, hands over the result and drops the rest. Its copy hooks
 * cross the border of a user namespace, which the account's own files do not.
 */
function debstrapArguments(from: {
  packages: string[];
  list: string;
  /** Folder that appears as /firmware. */
  input: string;
  entry: string;
}): string[] {
  const hook = (name: string, ...args: string[]) => `--customize-hook=${shellLine(name, args)}`;
  const result = (name: string) => hook('download', `/firmware/${name}`, join(from.entry, name));
  return [
    '--quiet',
    '--variant=minbase',
    '--format=null',
    `--include=${from.packages.join(',')}`,
    ...['man', 'doc', 'locale', 'info'].map((name) => `--dpkgopt=path-exclude=/usr/share/${name}/*`),
    '--aptopt=APT::Install-Recommends "false"',
    ...signaturesRequired.map(([name, value]) => `--aptopt=${name} "${value}"`),
    hook('copy-in', from.input, '/'),
    '--customize-hook=chroot "$1" sh /firmware/build.sh',
    result(fileName),
    result('packages.tsv'),
    sourceSuite,
    '-',
    from.list,
  ];
}

async function runBuild(
  args: string[],
  { signal, progress }: Omit<BuildFirmwareOptions, 'cache'>,
): Promise<void> {
  const process = start('mmdebstrap', args, { signal }, { all: true });
  // Lines of build.sh; the tools' own words are kept for the case of failure only.
  process.all!.on('data', (chunk: Buffer) => {
    for (const [, step] of String(chunk).matchAll(/^step: (.+)$/gm)) progress?.(step!);
  });
  try {
    await process;
  } catch (error) {
    const cause = toolError('mmdebstrap', args, error, { signal });
    if (!(cause instanceof UserError)) throw cause;
    const { all } = error as { all?: unknown };
    const words = typeof all === 'string' ? all.trim().split('\n').slice(-20) : [cause.message];
    throw new UserError('cannot build the firmware', { details: words, hint, cause });
  }
}

async function refuseWithoutSpace(): Promise<void> {
  const folder = tmpdir();
  const { bavail, bsize } = await statfs(folder);
  if (bavail * bsize >= workSpace) return;
  const [free, needed] = [bavail * bsize, workSpace].map((bytes) => (bytes / 2 ** 30).toFixed(1));
  throw new UserError(`cannot build the firmware: ${folder} has ${free} GiB free, and it takes ${needed}`, {
    hint: 'free some, or set TMPDIR to a folder on another disk',
  });
}

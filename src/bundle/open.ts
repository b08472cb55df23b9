import { chmod, lstat, mkdir, readdir, stat, statfs } from 'node:fs/promises';
import { basename, join, resolve } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { Parser, type ReadEntry } from 'tar';
import { hasCode, messageOf, UserError } from '../host/errors.ts';
import { openRegularFile } from '../host/files.ts';
import { ArchiveNames, cannotOpen } from './archive-names.ts';
import { bundleFiles, bundleFolderPattern } from './names.ts';
import { streamToFile } from './stream-to-file.ts';

/** A bundle to be looked at. Its files are all there and regular; what is in them is not checked. */
export interface OpenBundle {
  /** Absolute path of the folder `cvm_<id>`. */
  folder: string;
  id: string;
}

export interface OpenBundleOptions {
  /** Private folder to unpack an archive in. */
  workDirectory: string;
  /** The files that the caller reads; the others are checked to be there, and not unpacked. All unless told otherwise. */
  only?: readonly string[] | undefined;
  signal?: AbortSignal | undefined;
}

/**
 * Opens a bundle: a folder `cvm_<id>`, a folder that holds one, or an archive, which is unpacked. The bundle may be hostile:
 * from an archive come only the ten known names, as regular files, once each, under one `<name>/cvm_<id>/`.
 * @throws UserError where it is no bundle, or one with anything else in its archive.
 */
export async function openBundle(path: string, options: OpenBundleOptions): Promise<OpenBundle> {
  const found = await stat(path).catch((error: unknown) => {
    const cause = hasCode(error, 'ENOENT') ? 'there is no such file or folder' : messageOf(error);
    throw new UserError(`cannot open bundle ${path}: ${cause}`);
  });
  if (!found.isDirectory()) return opened(await unpack(path, options));
  const folder = await folderIn(path);
  await checkFiles(path, folder);
  return opened(folder);
}

function opened(folder: string): OpenBundle {
  return { folder, id: bundleFolderPattern.exec(basename(folder))![1]! };
}

async function folderIn(path: string): Promise<string> {
  const folder = resolve(path);
  if (bundleFolderPattern.test(basename(folder))) return folder;
  const inside = (await readdir(folder)).filter((name) => bundleFolderPattern.test(name));
  if (inside.length === 1) return join(folder, inside[0]!);
  const cause = inside.length === 0 ? 'it holds no folder cvm_<id>' : `it holds ${inside.length} bundles`;
  throw new UserError(`cannot open bundle ${path}: ${cause}`, {
    hint: 'name the folder cvm_<id> itself, or the .tgz',
  });
}

async function checkFiles(path: string, folder: string): Promise<void> {
  for (const name of bundleFiles) {
    const found = await lstat(join(folder, name)).catch(() => undefined);
    if (found?.isFile()) continue;
    const cause = found === undefined ? `${name} is missing` : `${name} is not a regular file`;
    throw new UserError(`cannot open bundle ${path}: ${cause}`);
  }
}

async function unpack(archive: string, options: OpenBundleOptions): Promise<string> {
  const { workDirectory, only = bundleFiles, signal } = options;
  const cannot = cannotOpen(archive);
  const names = new ArchiveNames(archive);

  async function take(entry: ReadEntry, stop: AbortSignal): Promise<void> {
    const file = names.accept(entry);
    if (file === undefined || !only.includes(file)) {
      entry.resume();
      return;
    }
    const { bavail, bsize } = await statfs(workDirectory);
    if (entry.size > bavail * bsize)
      throw cannot(`${file} of ${entry.size} bytes does not fit ${workDirectory}`);
    const folder = join(workDirectory, names.folderName!);
    await mkdir(folder, { recursive: true, mode: 0o700 });
    const target = join(folder, file);
    await streamToFile([entry as unknown as NodeJS.ReadableStream], target, { mode: 0o600, signal: stop });
    if (file === 'launch_vm.sh') await chmod(target, 0o700);
  }

  await parseArchive(archive, take, signal).catch((error: unknown) => {
    signal?.throwIfAborted();
    throw error instanceof UserError ? error : cannot(messageOf(error));
  });
  return join(workDirectory, names.complete());
}

/** Keys of extended headers (POSIX.1-2017, pax) that change nothing of what is unpacked here. */
const harmlessKeys = new Set(['atime', 'ctime', 'mtime', 'uid', 'gid', 'uname', 'gname', 'size', 'comment']);

type Take = (entry: ReadEntry, signal: AbortSignal) => Promise<void>;

/**
 * Streams an archive through tar's parser; entries come one after another. The first failure ends it, and nothing is
 * being written any more when the promise settles.
 */
async function parseArchive(archive: string, take: Take, signal: AbortSignal | undefined): Promise<void> {
  const failed = new AbortController();
  const stop = signal === undefined ? failed.signal : AbortSignal.any([failed.signal, signal]);
  const parser = new Parser({ strict: true });
  const taken: Promise<void>[] = [];
  // The first call counts; what it causes elsewhere fails as well and calls again.
  const fail = (error: unknown) => failed.abort(error);
  // An ignored entry is one of a type that the parser does not hand out.
  parser.on('ignoredEntry', (entry: ReadEntry) => fail(new Error(`it holds an entry of type ${entry.type}`)));
  // Only what leaves name, type and content as the entry itself has them: other programs know more keys than this parser, GNU.sparse.* for one.
  parser.on('meta', (text: string) => {
    const foreign = [...text.matchAll(/^\d+ ([^=\n]*)=/gm)].find(([, key]) => !harmlessKeys.has(key!));
    if (foreign !== undefined) fail(new Error(`it has the extended header ${JSON.stringify(foreign[1])}`));
  });
  parser.on('entry', (entry: ReadEntry) => {
    // The parser may hand out what it had read before it was stopped.
    if (stop.aborted) entry.resume();
    else taken.push(take(entry, stop).catch(fail));
  });
  await using file = await openRegularFile(archive);
  const source = file.createReadStream({ highWaterMark: 1 << 20, autoClose: false });
  await pipeline(source, parser as unknown as NodeJS.WritableStream, { signal: stop }).catch(fail);
  await Promise.all(taken);
  failed.signal.throwIfAborted();
}

import { randomBytes } from 'node:crypto';
import { constants } from 'node:fs';
import { open, rename, rm } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { Header } from 'tar';
import { hasCode, messageOf, UserError } from '../host/errors.ts';
import { bundleFiles, bundleFolderPattern } from './names.ts';
import { StoredGzipFile } from './stored-gzip-file.ts';

export interface PackOptions {
  /** A bundle folder `cvm_<id>` with the ten files. */
  folder: string;
  /** The bundle's name, first folder in the archive. No blanks, no slashes. */
  name: string;
  /** The .tgz to write; replaced where it exists. */
  out: string;
  signal?: AbortSignal | undefined;
  /** Told how many bytes of files are packed, and of how many. */
  progress?: (done: number, total: number) => void;
}

const noLink = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;

/** Size of a tar block (POSIX.1-2017, pax, "ustar Interchange Format"). */
const block = 512;

/**
 * Packs a bundle folder as `<name>/cvm_<id>/…` into a gzip file of stored blocks: most of it is ciphertext, which does not
 * deflate. The same files give the same bytes: sorted, owner 0:0, fixed modes and times. The archive is streamed
 * to a temporary name and renamed when it is whole.
 * @throws UserError where a file is absent or changes meanwhile.
 */
export async function packBundle({ folder, name, out, signal, progress }: PackOptions): Promise<void> {
  const folderName = basename(resolve(folder));
  if (!bundleFolderPattern.test(folderName)) throw new Error(`${folder} is not named cvm_<id>`);
  if (!/^[A-Za-z0-9][A-Za-z0-9._@+-]*$/.test(name)) {
    throw new UserError(`cannot pack bundle ${JSON.stringify(name)}: it is no plain file name`, {
      hint: 'use letters, digits, ".", "_", "@", "+" and "-"',
    });
  }
  const temporary = join(dirname(out), `.${basename(out)}.${randomBytes(6).toString('hex')}.tmp`);
  try {
    await using file = await open(temporary, 'wx', 0o644);
    const gzip = new StoredGzipFile(file);
    for await (const bytes of archiveOf(folder, `${name}/${folderName}`, progress)) {
      signal?.throwIfAborted();
      await gzip.write(bytes);
    }
    await gzip.end();
    await rename(temporary, out);
  } catch (error) {
    await rm(temporary, { force: true });
    signal?.throwIfAborted();
    if (hasCode(error, 'ENOSPC'))
      throw new UserError(`cannot pack ${out}: the disk is full`, { cause: error });
    throw error;
  }
}

async function* archiveOf(
  folder: string,
  prefix: string,
  progress: PackOptions['progress'],
): AsyncGenerator<Buffer> {
  const sizes = new Map<string, number>();
  for (const file of bundleFiles) sizes.set(file, await sizeOf(folder, file));
  const total = [...sizes.values()].reduce((sum, size) => sum + size, 0);
  let done = 0;

  yield header('Directory', `${prefix.slice(0, prefix.indexOf('/'))}/`, 0o755, 0);
  yield header('Directory', `${prefix}/`, 0o755, 0);
  for (const [file, size] of sizes) {
    yield header('File', `${prefix}/${file}`, file === 'launch_vm.sh' ? 0o755 : 0o644, size);
    for await (const chunk of contentOf(folder, file, size)) {
      yield chunk;
      done += chunk.length;
      progress?.(done, total);
    }
    yield Buffer.alloc((block - (size % block)) % block);
  }
  yield Buffer.alloc(2 * block);
}

function header(type: 'Directory' | 'File', path: string, mode: number, size: number): Buffer {
  const bytes = Buffer.alloc(block);
  const needsPax = new Header({ type, path, mode, size, uid: 0, gid: 0, mtime: new Date(0) }).encode(
    bytes,
    0,
  );
  // Names are short and sizes over 8 GiB have GNU's binary form, so nothing is left for an extended header.
  if (needsPax && size < 2 ** 33) throw new Error(`${path} does not fit a tar header`);
  return bytes;
}

async function sizeOf(folder: string, file: string): Promise<number> {
  try {
    await using handle = await open(join(folder, file), noLink);
    const found = await handle.stat();
    if (found.isFile()) return found.size;
  } catch (error) {
    const cause = hasCode(error, 'ENOENT') ? `${file} is missing` : messageOf(error);
    throw new UserError(`cannot pack bundle ${folder}: ${cause}`, { cause: error });
  }
  throw new UserError(`cannot pack bundle ${folder}: ${file} is not a regular file`);
}

/** Exactly as many bytes as the header says: a drive that a VM writes to meanwhile must not break the archive. Each chunk holds until the next. */
async function* contentOf(folder: string, file: string, size: number): AsyncGenerator<Buffer> {
  await using handle = await open(join(folder, file), noLink);
  const buffer = Buffer.allocUnsafe(Math.min(size + 1, 1 << 20));
  let total = 0;
  for (;;) {
    const { bytesRead } = await handle.read(buffer, 0, buffer.length, null);
    if (bytesRead === 0) break;
    total += bytesRead;
    if (total <= size) yield buffer.subarray(0, bytesRead);
  }
  if (total !== size) throw new UserError(`cannot pack bundle ${folder}: ${file} changed meanwhile`);
}

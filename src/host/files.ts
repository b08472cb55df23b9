import { createHash, randomBytes } from 'node:crypto';
import { constants, type Stats } from 'node:fs';
import { type FileHandle, open, rename, rm, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';

/**
 * Replaces a file as a whole: a reader, or a machine that loses power, sees the old content or the new, never a
 * part. The content is written under a temporary name in the same folder, synced, renamed, and the folder synced.
 * @param mode permission bits, exact whatever the umask is.
 */
export async function writeFileAtomic(path: string, data: string | Uint8Array, mode: number): Promise<void> {
  const folder = dirname(path);
  const temporary = join(folder, `.${basename(path)}.${randomBytes(6).toString('hex')}.tmp`);
  try {
    await using file = await open(temporary, 'wx', mode & 0o700);
    await file.chmod(mode);
    await file.writeFile(data);
    await file.sync();
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
  await using directory = await open(folder, 'r');
  await directory.sync();
}

/**
 * Opens a file that somebody named, for reading. What is no regular file is refused and never waited for: a FIFO blocks an open until
 * somebody writes to it, past every signal, and a device has no end, or does something when it is opened.
 * @param more flags of open(2) besides reading
 * @throws Error saying why, with the `code` of the system where it has one
 */
export async function openRegularFile(path: string | Buffer, more = 0): Promise<FileHandle> {
  refuseOthers(await stat(path));
  // Looked at again: another file may have taken the name.
  const file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOCTTY | more);
  try {
    refuseOthers(await file.stat());
    return file;
  } catch (error) {
    await file.close();
    throw error;
  }
}

function refuseOthers(found: Stats): void {
  if (found.isFile()) return;
  const why = found.isDirectory() ? 'it is a folder' : 'it is not a regular file';
  throw Object.assign(new Error(why), found.isDirectory() ? { code: 'EISDIR' } : {});
}

/** Bytes of the largest file that is read whole unless told otherwise: settings, certificates and policies are far smaller. */
const largestWhole = 16 * 2 ** 20;

/**
 * All of a small file that somebody named.
 * @param largest bytes that it may have
 * @throws Error as {@link openRegularFile} does, and where it is larger
 */
export async function readSmallFile(path: string, largest: number = largestWhole): Promise<Buffer> {
  await using file = await openRegularFile(path);
  const buffer = Buffer.alloc(Math.min((await file.stat()).size, largest) + 1);
  let have = 0;
  while (have < buffer.length) {
    const { bytesRead } = await file.read(buffer, have, buffer.length - have, have);
    if (bytesRead === 0) break;
    have += bytesRead;
  }
  if (have > largest) throw new Error(`it is larger than ${largest} bytes`);
  return buffer.subarray(0, have);
}

/** {@link readSmallFile} as UTF-8. */
export async function readTextFile(path: string, largest?: number): Promise<string> {
  return (await readSmallFile(path, largest)).toString('utf8');
}

export interface HashOptions {
  signal?: AbortSignal | undefined;
  /** Told the size of each chunk read, in bytes, for progress. */
  onBytes?: (count: number) => void;
}

/** SHA-256 of a file as lower-case hex, and its size in bytes. The file is streamed. */
export async function sha256File(
  path: string,
  options: HashOptions = {},
): Promise<{ hex: string; size: number }> {
  const hash = createHash('sha256');
  let size = 0;
  for await (const bytes of bytesOfFile(path, options.signal)) {
    hash.update(bytes);
    size += bytes.length;
    options.onBytes?.(bytes.length);
  }
  return { hex: hash.digest('hex'), size };
}

/** Bytes. */
const readAtOnce = 1 << 18;

/**
 * The bytes of a file, in order. One buffer does for all of them, so each part holds only until the next is asked for: a new one for each is
 * collected at a higher price than the bytes are hashed or copied.
 */
export async function* bytesOfFile(path: string, signal?: AbortSignal): AsyncGenerator<Buffer> {
  await using file = await openRegularFile(path);
  const buffer = Buffer.allocUnsafe(readAtOnce);
  for (;;) {
    signal?.throwIfAborted();
    const { bytesRead } = await file.read(buffer, 0, buffer.length, null);
    if (bytesRead === 0) return;
    yield buffer.subarray(0, bytesRead);
  }
}

/**
 * Copies the bytes of a file into a new one of this account, and hashes them on the way. copyFile(3) would hand on the owner's and
 * others' rights of the source.
 * @param mode permission bits, exact whatever umask and source say
 * @returns SHA-256 of what was copied, lower-case hex
 * @throws Error where the target is there already
 */
export async function copyHashed(
  source: string,
  target: string,
  mode: number,
  signal?: AbortSignal,
): Promise<string> {
  await using file = await open(target, 'wx', mode & 0o700);
  await file.chmod(mode);
  const hash = createHash('sha256');
  let at = 0;
  for await (const bytes of bytesOfFile(source, signal)) {
    hash.update(bytes);
    await writeAll(file, bytes, at);
    at += bytes.length;
  }
  return hash.digest('hex');
}

/** Writes all of the bytes at a place of a file; `write` alone may take a part. */
export async function writeAll(file: FileHandle, bytes: Uint8Array, position: number): Promise<void> {
  for (let at = 0; at < bytes.length; ) {
    at += (await file.write(bytes, at, bytes.length - at, position + at)).bytesWritten;
  }
}

import { createHash, randomBytes } from 'node:crypto';
import { type FileHandle, open, rename, rm } from 'node:fs/promises';
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
  await using file = await open(path, 'r');
  const buffer = Buffer.allocUnsafe(readAtOnce);
  for (;;) {
    signal?.throwIfAborted();
    const { bytesRead } = await file.read(buffer, 0, buffer.length, null);
    if (bytesRead === 0) return;
    yield buffer.subarray(0, bytesRead);
  }
}

/** Writes all of the bytes at a place of a file; `write` alone may take a part. */
export async function writeAll(file: FileHandle, bytes: Buffer, position: number): Promise<void> {
  for (let at = 0; at < bytes.length; ) {
    at += (await file.write(bytes, at, bytes.length - at, position + at)).bytesWritten;
  }
}

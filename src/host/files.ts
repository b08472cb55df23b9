import { createHash, randomBytes } from 'node:crypto';
import { open, rename, rm } from 'node:fs/promises';
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

/** Bytes. */
const hashedAtOnce = 1 << 18;

/** SHA-256 of a file as lower-case hex, and its size in bytes. The file is streamed. */
export async function sha256File(
  path: string,
  options: HashOptions = {},
): Promise<{ hex: string; size: number }> {
  const hash = createHash('sha256');
  let size = 0;
  await using file = await open(path, 'r');
  // One buffer for the whole file: a new one for each part is collected at a higher price than it is hashed.
  const buffer = Buffer.allocUnsafe(hashedAtOnce);
  for (;;) {
    options.signal?.throwIfAborted();
    const { bytesRead } = await file.read(buffer, 0, buffer.length, null);
    if (bytesRead === 0) break;
    hash.update(buffer.subarray(0, bytesRead));
    size += bytesRead;
    options.onBytes?.(bytesRead);
  }
  return { hex: hash.digest('hex'), size };
}

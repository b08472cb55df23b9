import { createHash } from 'node:crypto';
import { type FileHandle, open } from 'node:fs/promises';
import { hasCode, messageOf } from '../../host/errors.ts';
import type { Bytes } from '../tar/bytes.ts';
import { unusable } from './scan.ts';

/** An archive held open, so that every pass reads the same file. */
export interface ArchiveFile extends AsyncDisposable {
  /** In bytes. */
  readonly size: number;
  /** A pass over the whole file. */
  read(): Bytes;
  /** SHA-256 of the file, in hex. */
  digest(): Promise<string>;
  /** @throws UserError where the file was written to since it was opened */
  assertUnchanged(): Promise<void>;
}

/** @throws UserError where the archive is missing, empty or no regular file */
export async function openArchiveFile(
  archive: string,
  options: { signal?: AbortSignal | undefined; onBytes?: (count: number) => void } = {},
): Promise<ArchiveFile> {
  let file: FileHandle;
  try {
    file = await open(archive, 'r');
  } catch (error) {
    const why = hasCode(error, 'ENOENT') ? 'there is no such file' : messageOf(error);
    throw unusable(archive, why, 'check docker_archive in the configuration', error);
  }
  try {
    const before = await file.stat({ bigint: true });
    if (before.isDirectory()) {
      throw unusable(archive, 'it is a folder', `pack an OCI layout with: tar -C ${archive} -cf image.tar .`);
    }
    if (!before.isFile()) throw unusable(archive, 'it is not a regular file');
    if (before.size === 0n) throw unusable(archive, 'it is empty');

    async function* read(): Bytes {
      for await (const piece of file.createReadStream({
        start: 0,
        autoClose: false,
        highWaterMark: 1024 * 1024,
      })) {
        options.signal?.throwIfAborted();
        options.onBytes?.((piece as Buffer).length);
        yield piece as Buffer;
      }
    }
    return {
      size: Number(before.size),
      read,
      async digest() {
        const hash = createHash('sha256');
        for await (const piece of read()) hash.update(piece);
        return hash.digest('hex');
      },
      async assertUnchanged() {
        const now = await file.stat({ bigint: true });
        if (now.size === before.size && now.mtimeNs === before.mtimeNs && now.ctimeNs === before.ctimeNs)
          return;
        throw unusable(
          archive,
          'it changed while it was read',
          'wait until the archive is written, then build again',
        );
      },
      [Symbol.asyncDispose]: () => file.close(),
    };
  } catch (error) {
    await file.close();
    throw error;
  }
}

import { createHash } from 'node:crypto';
import { type FileHandle, open } from 'node:fs/promises';
import { hasCode, messageOf, type UserError } from './errors.ts';
import type { Bytes } from './tar/bytes.ts';

/** Bytes that a pass reads at once. */
const piece = 1024 * 1024;

/** A large input, opened once and for reading only, so that every pass reads the same file whatever happens to its name. */
export interface SourceFile extends AsyncDisposable {
  readonly path: string;
  /** In bytes. */
  readonly size: number;
  /** The open file, for reads at any place and for tools that take it over as standard input. */
  readonly handle: FileHandle;
  /** A pass over the whole file. */
  read(): Bytes;
  /** SHA-256 of the file, in hex. `onBytes` is told the size of each chunk. */
  digest(onBytes?: (count: number) => void): Promise<string>;
  /** @throws UserError where the file was written to since it was opened */
  assertUnchanged(): Promise<void>;
}

/** Why a file cannot be used, in the words of the caller. */
export interface SourceFileProblems {
  /** The error for a file that cannot be used. */
  unusable(why: string, hint?: string, cause?: unknown): UserError;
  /** What to do where there is no such file. */
  missing: string;
  /** What to do where it is a folder. */
  folder?: string;
  /** What to do where it changed meanwhile. */
  changed: string;
}

export interface SourceFileOptions {
  signal?: AbortSignal | undefined;
  /** Told the size of each chunk that a pass reads, in bytes. */
  onBytes?: ((count: number) => void) | undefined;
}

/** @throws UserError where the file is missing, empty or no regular file */
export async function openSourceFile(
  path: string,
  problems: SourceFileProblems,
  options: SourceFileOptions = {},
): Promise<SourceFile> {
  let handle: FileHandle;
  try {
    handle = await open(path, 'r');
  } catch (error) {
    const why = hasCode(error, 'ENOENT') ? 'there is no such file' : messageOf(error);
    throw problems.unusable(why, problems.missing, error);
  }
  try {
    const before = await handle.stat({ bigint: true });
    if (before.isDirectory()) throw problems.unusable('it is a folder', problems.folder);
    if (!before.isFile()) throw problems.unusable('it is not a regular file');
    if (before.size === 0n) throw problems.unusable('it is empty');

    async function* read(): Bytes {
      // By position: a pass that is given up early leaves nothing to the next one, as a stream of the handle would.
      for (let at = 0; ; ) {
        options.signal?.throwIfAborted();
        const { bytesRead, buffer } = await handle.read(Buffer.allocUnsafeSlow(piece), 0, piece, at);
        if (bytesRead === 0) return;
        at += bytesRead;
        options.onBytes?.(bytesRead);
        yield buffer.subarray(0, bytesRead);
      }
    }
    return {
      path,
      size: Number(before.size),
      handle,
      read,
      async digest(onBytes) {
        const hash = createHash('sha256');
        for await (const chunk of read()) {
          hash.update(chunk);
          onBytes?.(chunk.length);
        }
        return hash.digest('hex');
      },
      async assertUnchanged() {
        const now = await handle.stat({ bigint: true });
        // The time of change, unlike that of writing, is nobody's to set.
        if (now.size === before.size && now.mtimeNs === before.mtimeNs && now.ctimeNs === before.ctimeNs)
          return;
        throw problems.unusable('it changed while it was read', problems.changed);
      },
      [Symbol.asyncDispose]: () => handle.close(),
    };
  } catch (error) {
    await handle.close();
    throw error;
  }
}

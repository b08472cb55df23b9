import { createHash } from 'node:crypto';
import { type FileHandle, open } from 'node:fs/promises';
import { join } from 'node:path';
import { hasCode, messageOf, type UserError } from './errors.ts';
import { openRegularFile, writeAll } from './files.ts';
import type { Bytes } from './tar/bytes.ts';
import { workDirectory } from './temp.ts';

/** Bytes that a pass reads at once, and between two digests that are kept. */
const piece = 1024 * 1024;

/**
 * A large input that others may write to while it is read. It is hashed once; every later pass is compared with that hash as it goes, so
 * that what is converted is what was hashed. Times prove nothing: whoever has mapped the file changes its bytes without touching one.
 */
export interface SourceFile extends AsyncDisposable {
  readonly path: string;
  /** In bytes. */
  readonly size: number;
  /** SHA-256 of the file, in hex; asked for once, before anything else. `onBytes` is told the size of each chunk. */
  digest(onBytes?: (count: number) => void): Promise<string>;
  /**
   * A pass over the whole file, which may be given up at any place.
   * @throws UserError before the first piece that is not as it was hashed
   */
  read(): Bytes;
  /**
   * The hashed bytes in a file of our own, for reads at any place and for tools that take an open file.
   * @param folder a private one, used where memory does not do
   * @throws UserError where the bytes are not as they were hashed, or there is no room
   */
  privateCopy(folder: string): Promise<PrivateCopy>;
}

/** A copy that has no name, so that nobody else can open it. It goes with its handle. */
export interface PrivateCopy extends AsyncDisposable {
  /** Of the source, for messages. */
  readonly path: string;
  /** In bytes. */
  readonly size: number;
  readonly handle: FileHandle;
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
    handle = await openRegularFile(path);
  } catch (error) {
    if (hasCode(error, 'EISDIR')) throw problems.unusable('it is a folder', problems.folder);
    const why = hasCode(error, 'ENOENT') ? 'there is no such file' : messageOf(error);
    throw problems.unusable(why, problems.missing, error);
  }
  try {
    const { size } = await handle.stat();
    if (size === 0) throw problems.unusable('it is empty');
    return sourceFile(path, { handle, size }, problems, options);
  } catch (error) {
    await handle.close();
    throw error;
  }
}

function sourceFile(
  path: string,
  { handle, size }: { handle: FileHandle; size: number },
  problems: SourceFileProblems,
  { signal, onBytes }: SourceFileOptions,
): SourceFile {
  const changed = () => problems.unusable('it changed while it was read', problems.changed);
  /** SHA-256 from the start of the file to the end of each piece. */
  let known: Buffer[] | undefined;

  /** Each piece of the file, and the digest up to its end. */
  async function* pieces(): AsyncGenerator<{ bytes: Buffer; digest: Buffer }> {
    const hash = createHash('sha256');
    // By position: a pass that is given up early leaves nothing to the next one, as a stream of the handle would.
    for (let at = 0; ; ) {
      signal?.throwIfAborted();
      const bytes = await fullPiece(handle, at);
      if (bytes.length === 0) return;
      at += bytes.length;
      onBytes?.(bytes.length);
      yield { bytes, digest: hash.update(bytes).copy().digest() };
    }
  }

  async function* read(): Bytes {
    if (known === undefined) throw new Error(`${path} is read before it was hashed`);
    let count = 0;
    for await (const { bytes, digest } of pieces()) {
      if (known[count]?.equals(digest) !== true) throw changed();
      count += 1;
      yield bytes;
    }
    if (count !== known.length) throw changed();
  }

  return {
    path,
    size,
    async digest(onPiece) {
      const digests: Buffer[] = [];
      for await (const { bytes, digest } of pieces()) {
        digests.push(digest);
        onPiece?.(bytes.length);
      }
      known = digests;
      const whole = digests.at(-1);
      if (whole === undefined) throw changed();
      return whole.toString('hex');
    },
    read,
    async privateCopy(folder) {
      await using work = await workDirectory({ bytes: size, base: folder });
      const name = join(work.path, 'copy');
      const copy = await open(name, 'wx+', 0o600);
      try {
        await fill(copy, read());
      } catch (error) {
        await copy.close();
        if (!hasCode(error, 'ENOSPC')) throw error;
        const why = `there is no room for a private copy of its ${Math.ceil(size / 2 ** 20)} MiB`;
        throw problems.unusable(why, `free some room in ${folder}`, error);
      }
      return { path, size, handle: copy, [Symbol.asyncDispose]: () => copy.close() };
    },
    [Symbol.asyncDispose]: () => handle.close(),
  };
}

/** A whole piece, or what is left of the file. Pieces of other sizes would have other digests. */
async function fullPiece(handle: FileHandle, at: number): Promise<Buffer> {
  const buffer = Buffer.allocUnsafeSlow(piece);
  let have = 0;
  while (have < piece) {
    const { bytesRead } = await handle.read(buffer, have, piece - have, at + have);
    if (bytesRead === 0) break;
    have += bytesRead;
  }
  return buffer.subarray(0, have);
}

/** Writes a stream to an empty file, zeros as holes: disk images are mostly empty. */
async function fill(file: FileHandle, source: Bytes): Promise<void> {
  const zeros = Buffer.alloc(piece);
  let at = 0;
  for await (const bytes of source) {
    if (!zeros.subarray(0, bytes.length).equals(bytes)) await writeAll(file, bytes, at);
    at += bytes.length;
  }
  await file.truncate(at);
}

import { pipeline, Readable, Transform } from 'node:stream';
import { createZstdDecompress } from 'node:zlib';
import type { Blocks } from '../../host/disk/blocks.ts';
import { type Bytes, MalformedError } from '../../host/tar/bytes.ts';
import { cpioEntries } from './cpio.ts';
import { type Extent, zstdFrames } from './zstd-frames.ts';

/** Where an initrd keeps what is one site's own. */
const home = 'etc/cvm/';
/** Largest file of the site's part, bytes: the LUKS header takes 2 MiB. */
const largestFile = 16 * 2 ** 20;
/** What all files of the site's part may take, and what all archives may unpack to, bytes. */
const largestPart = 64 * 2 ** 20;
const largestInitrd = 2 ** 31;

export interface InitrdOptions {
  signal?: AbortSignal | undefined;
  /** Told every byte of the unpacked archives. */
  onBytes?: ((bytes: Buffer) => void) | undefined;
}

/**
 * Files of `/etc/cvm` in an initrd, by name. Archives are unpacked one after another as the kernel does: of files with the same name
 * the last one counts. Nothing is written anywhere.
 * @throws MalformedError for an initrd that this builder does not make
 */
export async function readSitePart(file: Blocks, options: InitrdOptions = {}): Promise<Map<string, Buffer>> {
  const files = new Map<string, Buffer>();
  const left = { part: largestPart, initrd: largestInitrd };
  for (const frame of await zstdFrames(file)) {
    const unpacked = unpack(file, frame, left, options);
    for await (const { name, mode, size, content } of cpioEntries(unpacked)) {
      if (!name.startsWith(home)) continue;
      if ((mode & 0o170000) !== 0o100000)
        throw new MalformedError(`${JSON.stringify(name)} in it is not a regular file`);
      left.part -= size;
      if (size > largestFile || left.part < 0)
        throw new MalformedError(`${JSON.stringify(name)} in it is too large: ${size} bytes`);
      files.set(name.slice(home.length), await content());
    }
    // The rest after the trailer is filling, but it is a part of the file all the same.
    for await (const _ of unpacked);
  }
  return files;
}

async function* unpack(
  file: Blocks,
  frame: Extent,
  left: { initrd: number },
  { signal, onBytes }: InitrdOptions,
): Bytes {
  const source = Readable.from(pieces(file, frame), { objectMode: false });
  const bound = new Transform({
    transform(chunk: Buffer, _, done) {
      left.initrd -= chunk.length;
      done(left.initrd < 0 ? new MalformedError('it unpacks to more than 2 GiB') : null, chunk);
    },
  });
  pipeline(source, createZstdDecompress(), bound, () => {});
  try {
    for await (const chunk of bound as AsyncIterable<Buffer>) {
      signal?.throwIfAborted();
      onBytes?.(chunk);
      yield chunk;
    }
  } catch (error) {
    if (error instanceof MalformedError || signal?.aborted) throw error;
    throw new MalformedError('it holds a damaged zstd archive');
  }
}

async function* pieces(file: Blocks, { offset, length }: Extent): AsyncGenerator<Buffer> {
  const chunk = 2 ** 20;
  for (let at = 0; at < length; at += chunk) yield file.read(offset + at, Math.min(chunk, length - at));
}

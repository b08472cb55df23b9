import { pipeline, Readable } from 'node:stream';
import { pipeline as pipelineDone } from 'node:stream/promises';
import { createGunzip } from 'node:zlib';
import { start } from '../run.ts';
import { type Bytes, MalformedError, peek } from './bytes.ts';
import { blockSize, isHeader } from './header.ts';

/** What the first bytes of a stream say it is. */
export type Format = 'gzip' | 'zstd' | 'xz' | 'bzip2' | 'zip' | 'qcow2' | 'unknown';

const magics: readonly [Format, readonly number[]][] = [
  ['gzip', [0x1f, 0x8b]],
  ['zstd', [0x28, 0xb5, 0x2f, 0xfd]],
  ['xz', [0xfd, 0x37, 0x7a, 0x58, 0x5a]],
  ['bzip2', [0x42, 0x5a, 0x68]],
  ['zip', [0x50, 0x4b, 0x03, 0x04]],
  ['qcow2', [0x51, 0x46, 0x49, 0xfb]],
];

/** A zstd file may begin with skippable frames: 0x184D2A50 to 0x184D2A5F, little-endian. */
function isSkippableFrame(head: Buffer): boolean {
  return head.length >= 4 && (head.readUInt32LE(0) & 0xffff_fff0) >>> 0 === 0x184d_2a50;
}

export function formatOf(head: Buffer): Format {
  if (isSkippableFrame(head)) return 'zstd';
  return magics.find(([, magic]) => magic.every((byte, i) => head[i] === byte))?.[0] ?? 'unknown';
}

/** Remembers what a source threw, so that it is not taken for a fault of the compressed data. */
function guard(source: Bytes): { bytes: Bytes; failure: () => unknown } {
  let failure: unknown;
  async function* bytes() {
    try {
      yield* source;
    } catch (error) {
      failure = error;
      throw error;
    }
  }
  return { bytes: bytes(), failure: () => failure };
}

const damaged = (format: Format, cause: unknown) =>
  new MalformedError(`its ${format} data is damaged or ends early`, { cause });

async function* gunzipped(source: Bytes): Bytes {
  const { bytes, failure } = guard(source);
  const gunzip = createGunzip({ chunkSize: 256 * 1024 });
  // The callback's error is the one that the loop throws.
  pipeline(Readable.from(bytes, { objectMode: false }), gunzip, () => {});
  try {
    yield* gunzip;
  } catch (error) {
    throw failure() ?? damaged('gzip', error);
  }
}

/**
 * By the format's own tool. Node has no decoder of xz, and its decoder of zstd ends at the first frame without a word, while
 * archives of several frames are common (pzstd, seekable layers).
 */
async function* byTool(format: 'zstd' | 'xz', source: Bytes): Bytes {
  const { bytes, failure } = guard(source);
  const stop = new AbortController();
  const child = start(
    format,
    ['--decompress', '--stdout', '--quiet'],
    { signal: stop.signal },
    { stdin: 'pipe', buffer: { stdout: false } },
  );
  const ended = child.then(
    () => undefined,
    (error: unknown) => error,
  );
  const fed = pipelineDone(Readable.from(bytes, { objectMode: false }), child.stdin!).catch(() => {});
  let complete = false;
  try {
    yield* child.stdout! as Bytes;
    complete = true;
  } finally {
    // A consumer that stopped reading, or threw, has its own reasons.
    if (!complete) stop.abort();
    await fed;
    await ended;
  }
  const error = await ended;
  if (failure() !== undefined) throw failure();
  if (error !== undefined) throw damaged(format, error);
}

/**
 * The bytes of a stream with gzip or zstd removed where its first bytes say so, and xz where `options.xz` allows it. A tar
 * is taken for what it is even if the name of its first entry reads like another format's magic.
 */
export async function decompressed(
  source: Bytes,
  options: { xz?: boolean } = {},
): Promise<{ format: Format; data: Bytes }> {
  const { head, all } = await peek(source, blockSize);
  const format = isHeader(head) ? 'unknown' : formatOf(head);
  if (format === 'gzip') return { format, data: gunzipped(all) };
  if (format === 'zstd' || (format === 'xz' && options.xz)) return { format, data: byTool(format, all) };
  return { format, data: all };
}

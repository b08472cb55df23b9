import { PassThrough, Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createGunzip } from 'node:zlib';
import { start } from '../../host/run.ts';

/** What a bzImage says of itself. */
export interface KernelImage {
  /** `uname -r`, the name of its folder of modules. */
  release: string;
  /** All of it: `6.1.0-28-amd64 (…) #1 SMP PREEMPT_DYNAMIC Debian 6.1.119-1 (2024-11-22)`. */
  banner: string;
  /** The compressed kernel inside. */
  payload: Buffer;
}

/**
 * Reads the set-up header (Linux, Documentation/arch/x86/boot.rst, protocol 2.08 or later); undefined where it is no
 * 64-bit bzImage.
 */
export function readKernelImage(bytes: Buffer): KernelImage | undefined {
  if (bytes.length < 0x264 || bytes.toString('latin1', 0x202, 0x206) !== 'HdrS') return undefined;
  const protocol = bytes.readUInt16LE(0x206);
  // xloadflags, bit 0: has a 64-bit entry point.
  if (protocol < 0x20c || (bytes.readUInt16LE(0x236) & 1) === 0) return undefined;
  const banner = textAt(bytes, 0x200 + bytes.readUInt16LE(0x20e));
  const start = ((bytes[0x1f1] || 4) + 1) * 512 + bytes.readUInt32LE(0x248);
  const payload = bytes.subarray(start, start + bytes.readUInt32LE(0x24c));
  return { release: banner.split(' ')[0] ?? '', banner, payload };
}

function textAt(bytes: Buffer, offset: number): string {
  const end = bytes.indexOf(0, offset);
  return bytes.toString('latin1', offset, end < 0 || end - offset > 512 ? offset + 512 : end);
}

/**
 * Which of some texts the compressed kernel holds; undefined where its compression is none we read. Distributions take
 * fixes into old versions, so the kernel itself is a better witness than its number.
 */
export async function findInKernel<Text extends string>(
  { payload }: KernelImage,
  texts: readonly Text[],
  signal?: AbortSignal,
): Promise<Set<Text> | undefined> {
  const unpacker = unpackerOf(payload);
  if (unpacker === undefined) return undefined;
  const found = new Set<Text>();
  const overlap = Math.max(...texts.map((text) => text.length)) - 1;
  let tail = Buffer.alloc(0);
  const search = async (chunks: AsyncIterable<Buffer>) => {
    for await (const chunk of chunks) {
      const window = Buffer.concat([tail, chunk]);
      for (const text of texts) if (window.includes(text)) found.add(text);
      tail = window.subarray(Math.max(0, window.length - overlap));
    }
  };
  try {
    await unpacker(search, signal);
  } catch (error) {
    if (signal?.aborted) throw error;
    return undefined;
  }
  return found;
}

type Search = (chunks: AsyncIterable<Buffer>) => Promise<void>;
type Unpacker = (search: Search, signal?: AbortSignal) => Promise<void>;

/** By the first bytes. The build of the kernel appends its unpacked size, 4 bytes, to what xz and zstd made. */
function unpackerOf(payload: Buffer): Unpacker | undefined {
  const withoutSize = payload.subarray(0, -4);
  switch (payload.toString('hex', 0, 4)) {
    case 'fd377a58':
      return byTool('xz', withoutSize);
    case '28b52ffd':
      return byTool('zstd', withoutSize);
    default:
      return payload.toString('hex', 0, 2) === '1f8b'
        ? (search, signal) => pipeline(Readable.from([payload]), createGunzip(), search, { signal })
        : undefined;
  }
}

function byTool(tool: 'xz' | 'zstd', bytes: Buffer): Unpacker {
  return async (search, signal) => {
    const child = start(tool, ['-dc'], { input: bytes, signal }, { buffer: false });
    const output = new PassThrough();
    await Promise.all([child, pipeline(child.stdout!, output), search(output)]);
  };
}

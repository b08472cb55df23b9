import { gunzipSync, zstdDecompressSync } from 'node:zlib';
import { start } from '../../host/run.ts';

/** Ends every signed module (Linux, include/linux/module_signature.h). */
const mark = '~Module signature appended~\n';

/**
 * True where a kernel module carries a signature. By whom is for the kernel to judge.
 * @param path its name tells the compression
 */
export async function isSigned(path: string, bytes: Buffer, signal?: AbortSignal): Promise<boolean> {
  const module = await unpacked(path, bytes, signal);
  return module.subarray(-mark.length).toString('latin1') === mark;
}

async function unpacked(path: string, bytes: Buffer, signal?: AbortSignal): Promise<Buffer> {
  if (path.endsWith('.gz')) return gunzipSync(bytes);
  if (path.endsWith('.zst')) return zstdDecompressSync(bytes);
  if (!path.endsWith('.xz')) return bytes;
  const options = { encoding: 'buffer', stripFinalNewline: false } as const;
  const { stdout } = await start('xz', ['-dc'], { input: bytes, signal }, options);
  return Buffer.from(stdout as unknown as Uint8Array);
}

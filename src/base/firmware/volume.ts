import { start, toolError } from '../../host/run.ts';
import { type Firmware, type FirmwareVerdict, judgeFirmware, lzmaStreams } from '../../measure/index.ts';

/**
 * Judges firmware by its SHA-256, or, where that is not in the table of known firmware, by what its compressed volume holds.
 * @throws UserError where the volume cannot be unpacked.
 */
export async function verdictOf(
  { sha256, bytes }: Pick<Firmware, 'sha256' | 'bytes'>,
  { signal }: { signal?: AbortSignal | undefined } = {},
): Promise<FirmwareVerdict> {
  const known = judgeFirmware(sha256, undefined);
  if (known.verdict !== 'unknown') return known;
  return judgeFirmware(sha256, await unpackLzma(lzmaStreams(bytes), { signal }));
}

/**
 * Unpacks LZMA streams (`.lzma`, the form UEFI firmware volumes hold) one after another with xz.
 * @param limit bytes; a firmware volume is some 16 MiB
 */
export async function unpackLzma(
  streams: readonly Buffer[],
  { limit = 1 << 28, signal }: { limit?: number; signal?: AbortSignal | undefined } = {},
): Promise<Buffer> {
  const args = ['--format=lzma', '--decompress', '--stdout'];
  const parts: Buffer[] = [];
  for (const stream of streams) {
    try {
      const process = start(
        'xz',
        args,
        { signal, input: stream },
        { encoding: 'buffer', maxBuffer: limit, stripFinalNewline: false },
      );
      parts.push(Buffer.from((await process).stdout as unknown as Uint8Array));
    } catch (error) {
      throw toolError('xz', args, error, { signal });
    }
  }
  return Buffer.concat(parts);
}

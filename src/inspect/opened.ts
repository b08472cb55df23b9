import { createHash } from 'node:crypto';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import type { Blocks } from '../host/disk/blocks.ts';
import { UserError } from '../host/errors.ts';
import { MalformedError } from '../host/tar/bytes.ts';
import { blockBytes, luksHeaderBytes } from '../seal/index.ts';
import type { SealedSegment } from './initrd/sealed.ts';
import { type Inside, required } from './inside.ts';
import { decryptedPayload } from './luks/payload.ts';
import { badBlocks } from './verity/tree.ts';

/** A sealed drive that the key opens and that is whole: only such a one is handed to other programs. */
export interface OpenedPayload {
  segments: readonly SealedSegment[];
  /**
   * Writes a segment to a file of a private folder: it is plaintext.
   * @returns the file, and the SHA-256 of the segment
   */
  extract(segment: SealedSegment, folder: string): Promise<{ file: string; sha256: string }>;
}

const chunk = 2 ** 20;

/**
 * Opens the payload of a bundle and compares it with what was sealed.
 * @throws UserError where the key does not open it, or a block is not what was sealed
 */
export async function openPayload(
  path: string,
  { sealed, rootDrive, volumeKey }: Inside,
  signal?: AbortSignal,
): Promise<OpenedPayload> {
  const cannot = (cause: string) =>
    new UserError(`cannot open the sealed drive of ${path}: ${cause}`, {
      hint: 'cvm verify --key tells more',
    });
  if (volumeKey === undefined) throw new Error('there is no key to open the payload with');
  for (const part of [sealed, rootDrive, volumeKey]) if ('problem' in part) throw cannot(part.problem);
  const { segments, verity } = required(sealed);
  // What lies behind the sealed data is the vault: the workload wrote it.
  const outside = segments.find(({ offset, bytes }) => offset + bytes > verity.dataBlocks * blockBytes);
  if (outside !== undefined) throw cannot(`${outside.name} lies outside of what is sealed`);
  const place = { offset: luksHeaderBytes, sectorBytes: blockBytes };
  const payload: Blocks = decryptedPayload(required(rootDrive), required(volumeKey), place);
  try {
    for await (const { offset } of badBlocks(payload, verity, { signal }))
      throw cannot(`the block at byte ${offset} of the payload is not what was sealed`);
  } catch (error) {
    throw error instanceof MalformedError ? cannot(error.message) : error;
  }
  return {
    segments,
    async extract({ name, offset, bytes }, folder) {
      const file = join(folder, `${name}.squashfs`);
      const hash = createHash('sha256');
      await using target = await open(file, 'wx', 0o600);
      for (let at = 0; at < bytes; at += chunk) {
        signal?.throwIfAborted();
        const piece = await payload.read(offset + at, Math.min(chunk, bytes - at));
        hash.update(piece);
        await target.write(piece);
      }
      return { file, sha256: hash.digest('hex') };
    },
  };
}

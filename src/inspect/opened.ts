import { createHash } from 'node:crypto';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import type { Blocks } from '../host/disk/blocks.ts';
import { UserError } from '../host/errors.ts';
import { writeAll } from '../host/files.ts';
import { MalformedError } from '../host/tar/bytes.ts';
import { blockBytes, luksHeaderBytes } from '../seal/index.ts';
import type { SealedSegment, SealedSettings } from './initrd/sealed.ts';
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
  inside: Inside,
  signal?: AbortSignal,
): Promise<OpenedPayload> {
  try {
    const { payload, settings } = decrypted(inside);
    const { segments, verity } = settings;
    for (const segment of segments) requireSealed(segment, settings);
    for await (const block of badBlocks(payload, verity, { signal })) throw notSealed(block);
    return { segments, extract: (segment, folder) => extract(payload, segment, folder, signal) };
  } catch (error) {
    if (!(error instanceof MalformedError)) throw error;
    throw new UserError(`cannot open the sealed drive of ${path}: ${error.message}`, {
      hint: 'cvm verify --key tells more',
    });
  }
}

/**
 * Writes one segment to a file of a private folder, after its blocks, and no others, were compared with what was sealed.
 * @throws MalformedError where the key does not open it, it is not there, or a block is not what was sealed
 */
export async function extractSegment(
  inside: Inside,
  name: string,
  folder: string,
  signal?: AbortSignal,
): Promise<string> {
  const { payload, settings } = decrypted(inside);
  const segment = settings.segments.find((one) => one.name === name);
  if (segment === undefined) throw new MalformedError(`there is no ${name} in it`);
  requireSealed(segment, settings);
  for await (const block of badBlocks(payload, settings.verity, { signal, only: segment }))
    throw notSealed(block);
  return (await extract(payload, segment, folder, signal)).file;
}

function decrypted({ sealed, rootDrive, volumeKey }: Inside): { payload: Blocks; settings: SealedSettings } {
  if (volumeKey === undefined) throw new Error('there is no key to open the payload with');
  const settings = required(sealed);
  const place = { offset: luksHeaderBytes, sectorBytes: blockBytes };
  return { payload: decryptedPayload(required(rootDrive), required(volumeKey), place), settings };
}

/** What lies behind the sealed data is the vault: the workload wrote it. */
function requireSealed({ name, offset, bytes }: SealedSegment, { verity }: SealedSettings): void {
  if (offset + bytes > verity.dataBlocks * blockBytes)
    throw new MalformedError(`${name} lies outside of what is sealed`);
}

const notSealed = ({ offset }: { offset: number }) =>
  new MalformedError(`the block at byte ${offset} of the payload is not what was sealed`);

async function extract(
  payload: Blocks,
  { name, offset, bytes }: SealedSegment,
  folder: string,
  signal: AbortSignal | undefined,
): Promise<{ file: string; sha256: string }> {
  const file = join(folder, `${name}.squashfs`);
  const hash = createHash('sha256');
  await using target = await open(file, 'wx', 0o600);
  for (let at = 0; at < bytes; at += chunk) {
    signal?.throwIfAborted();
    const piece = await payload.read(offset + at, Math.min(chunk, bytes - at));
    hash.update(piece);
    await writeAll(target, piece, at);
  }
  return { file, sha256: hash.digest('hex') };
}

import { createHash } from 'node:crypto';
import type { Blocks } from '../../host/disk/blocks.ts';

/*
 * dm-verity, format 1, without a superblock: the kernel's Documentation/admin-guide/device-mapper/verity.rst. A digest is
 * SHA-256 over the salt and the block. A block of hashes holds 128 of them; the level that holds the single topmost block
 * comes first, the one over the data last.
 */

export const blockBytes = 4096;
const digestBytes = 32;
const perBlock = blockBytes / digestBytes;

/** What the initrd pins. */
export interface VerityPin {
  /** 32 bytes. */
  rootHash: Buffer;
  salt: Buffer;
  /** Where the tree starts, bytes. */
  hashOffset: number;
  dataBlocks: number;
}

/** A level of the tree. */
interface Level {
  /** Its first block, bytes from the start of the payload. */
  offset: number;
  blocks: number;
}

/** Levels from the top down, and where the tree ends, bytes. */
export function treeLevels({ hashOffset, dataBlocks }: Pick<VerityPin, 'hashOffset' | 'dataBlocks'>): {
  levels: Level[];
  end: number;
} {
  const counts: number[] = [];
  for (let blocks = dataBlocks; blocks > 1 || counts.length === 0; ) {
    blocks = Math.ceil(blocks / perBlock);
    counts.unshift(blocks);
  }
  let end = hashOffset;
  const levels = counts.map((blocks) => {
    const level = { offset: end, blocks };
    end += blocks * blockBytes;
    return level;
  });
  return { levels, end };
}

/** A block whose digest is not the one that the level above has for it. */
export interface BadBlock {
  /** Part of the tree, or of the data under it. */
  part: 'tree' | 'data';
  /** Bytes from the start of the payload. */
  offset: number;
}

export interface VerityOptions {
  signal?: AbortSignal | undefined;
  /** Told how many blocks were compared, and of how many. */
  progress?: ((done: number, total: number) => void) | undefined;
  /** Of the data only the blocks that hold these bytes; all unless told otherwise. The tree is compared as a whole. */
  only?: { offset: number; bytes: number } | undefined;
}

/** Blocks that are read and decrypted at once. */
const chunkBlocks = 256;

/**
 * Compares every block of the tree with the level above it, down from the pinned root hash, then every block of data. What is not
 * as it was sealed is yielded in this order; memory does not grow with the drive.
 */
export async function* badBlocks(
  payload: Blocks,
  pin: VerityPin,
  { signal, progress, only }: VerityOptions = {},
): AsyncGenerator<BadBlock> {
  const { levels } = treeLevels(pin);
  const data = { offset: 0, blocks: pin.dataBlocks };
  const wanted = {
    from: Math.floor((only?.offset ?? 0) / blockBytes),
    to: only === undefined ? pin.dataBlocks : Math.ceil((only.offset + only.bytes) / blockBytes),
  };
  const total = levels.reduce((sum, { blocks }) => sum + blocks, wanted.to - wanted.from);
  let done = 0;
  let above: Level | undefined;
  for (const [index, level] of [...levels, data].entries()) {
    const part = index === levels.length ? 'data' : 'tree';
    const { from, to } = part === 'data' ? wanted : { from: 0, to: level.blocks };
    for (let first = from; first < to; first += chunkBlocks) {
      signal?.throwIfAborted();
      const count = Math.min(chunkBlocks, to - first);
      const found = await payload.read(level.offset + first * blockBytes, count * blockBytes);
      const expected: Buffer =
        above === undefined
          ? pin.rootHash
          : await payload.read(above.offset + first * digestBytes, count * digestBytes);
      for (let block = 0; block < count; block += 1) {
        const hash = createHash('sha256').update(pin.salt);
        const digest = hash.update(found.subarray(block * blockBytes, (block + 1) * blockBytes)).digest();
        if (digest.equals(expected.subarray(block * digestBytes, (block + 1) * digestBytes))) continue;
        yield { part, offset: level.offset + (first + block) * blockBytes };
      }
      done += count;
      progress?.(done, total);
    }
    above = level;
  }
}

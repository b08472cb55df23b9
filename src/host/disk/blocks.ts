import type { FileHandle } from 'node:fs/promises';
import { MalformedError } from '../tar/bytes.ts';

/** A disk, a partition or a logical volume: bytes that can be read at any place, and never written. */
export interface Blocks {
  /** In bytes. */
  readonly size: number;
  /**
   * Exactly `length` bytes from `offset` on, both in bytes.
   * @throws MalformedError where they do not lie inside
   */
  read(offset: number, length: number): Promise<Buffer>;
}

/** Throws unless the bytes lie inside: every number of a hostile disk ends up here. */
export function requireInside(size: number, offset: number, length: number): void {
  const fits = Number.isSafeInteger(offset) && offset >= 0 && length >= 0 && offset + length <= size;
  if (!fits) throw new MalformedError(`it points outside of itself, to byte ${offset} of ${size}`);
}

/** A raw disk image. */
export function fileBlocks(handle: FileHandle, size: number): Blocks {
  return {
    size,
    async read(offset, length) {
      requireInside(size, offset, length);
      const buffer = Buffer.allocUnsafe(length);
      for (let have = 0; have < length; ) {
        const { bytesRead } = await handle.read(buffer, have, length - have, offset + have);
        if (bytesRead === 0) throw new MalformedError('it ends early');
        have += bytesRead;
      }
      return buffer;
    },
  };
}

/** A run of bytes of a disk. */
export interface Extent {
  blocks: Blocks;
  /** In bytes, on `blocks`. */
  offset: number;
  /** In bytes. */
  length: number;
}

/**
 * Extents laid end to end: a partition is one, a linear logical volume has one for each of its segments.
 * @throws MalformedError where one does not lie inside its disk
 */
export function joinedBlocks(extents: readonly Extent[]): Blocks {
  const starts: number[] = [];
  let size = 0;
  for (const { blocks, offset, length } of extents) {
    requireInside(blocks.size, offset, length);
    starts.push(size);
    size += length;
  }
  return {
    size,
    async read(offset, length) {
      requireInside(size, offset, length);
      const pieces: Buffer[] = [];
      for (let at = offset; at < offset + length; ) {
        const index = starts.findLastIndex((start) => start <= at);
        const extent = extents[index]!;
        const inside = at - starts[index]!;
        const count = Math.min(offset + length - at, extent.length - inside);
        pieces.push(await extent.blocks.read(extent.offset + inside, count));
        at += count;
      }
      return pieces.length === 1 ? pieces[0]! : Buffer.concat(pieces);
    },
  };
}

/** A part of a disk. */
export function partOf(blocks: Blocks, offset: number, length: number): Blocks {
  return joinedBlocks([{ blocks, offset, length }]);
}

/** Bytes from `offset` on, as many as `length` and the end allow: for looking at magic numbers. */
export function peekBlocks(blocks: Blocks, offset: number, length: number): Promise<Buffer> {
  const count = Math.max(0, Math.min(length, blocks.size - offset));
  return count === 0 ? Promise.resolve(Buffer.alloc(0)) : blocks.read(offset, count);
}

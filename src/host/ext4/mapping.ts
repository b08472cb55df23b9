import { crc32c } from '../crc.ts';
import { MalformedError } from '../tar/bytes.ts';
import { type Inode, inodeFlags } from './inode.ts';

/*
 * Where a file's blocks are: the kernel's Documentation/filesystems/ext4/ifork.rst. Numbers are little-endian.
 */

/** A run of blocks of a file; runs come in rising order, and what lies between them is a hole. */
export interface Run {
  /** First block in the file. */
  logical: number;
  /** First block on the volume. */
  physical: number;
  /** In blocks. */
  count: number;
}

/** Reads one whole block. */
export type ReadBlock = (block: number) => Promise<Buffer>;

const extentMagic = 0xf30a;
/** The kernel's own bound (EXT4_MAX_EXTENT_DEPTH). */
const deepest = 5;
/** An extent longer than this was allocated but never written, and reads as zeros. */
const longestWritten = 32_768;

/**
 * Runs of an inode that keeps its data in blocks, as far as its size goes.
 * @throws MalformedError
 */
export async function* runsOf(inode: Inode, readBlock: ReadBlock, blockSize: number): AsyncGenerator<Run> {
  const limit = Math.ceil(inode.size / blockSize);
  let reached = 0;
  const runs =
    inode.flags & inodeFlags.extents
      ? extents(inode, inode.block, readBlock, undefined)
      : mapped(inode.block, readBlock, blockSize / 4, limit);
  for await (const run of runs) {
    // Rising order also bounds the work: a tree that leads back to itself repeats its blocks.
    if (run.logical < reached) throw new MalformedError(`the block list of inode ${inode.number} is damaged`);
    if (run.logical >= limit) return;
    reached = run.logical + run.count;
    yield run;
  }
}

async function* extents(
  inode: Inode,
  node: Buffer,
  readBlock: ReadBlock,
  expectedDepth: number | undefined,
): AsyncGenerator<Run> {
  const damaged = () => new MalformedError(`the extent tree of inode ${inode.number} is damaged`);
  const count = node.readUInt16LE(2);
  const depth = node.readUInt16LE(6);
  const fits = 12 + count * 12 <= node.length;
  if (node.readUInt16LE(0) !== extentMagic || !fits || depth > deepest) throw damaged();
  if (expectedDepth !== undefined && depth !== expectedDepth) throw damaged();
  for (let index = 0; index < count; index++) {
    const at = 12 + index * 12;
    const logical = node.readUInt32LE(at);
    if (depth === 0) {
      const length = node.readUInt16LE(at + 4);
      const physical = node.readUInt32LE(at + 8) + node.readUInt16LE(at + 6) * 2 ** 32;
      if (length <= longestWritten) yield { logical, physical, count: length };
      continue;
    }
    const child = await readBlock(node.readUInt32LE(at + 4) + node.readUInt16LE(at + 8) * 2 ** 32);
    if (inode.seed !== undefined) {
      // The checksum follows the last place an extent could have.
      const end = 12 + child.readUInt16LE(4) * 12;
      if (end + 4 > child.length || crc32c(inode.seed, child.subarray(0, end)) !== child.readUInt32LE(end))
        throw damaged();
    }
    yield* extents(inode, child, readBlock, depth - 1);
  }
}

/** The block map of ext2 and ext3: twelve blocks, then one, two and three levels of blocks of numbers. */
async function* mapped(
  map: Buffer,
  readBlock: ReadBlock,
  perBlock: number,
  limit: number,
): AsyncGenerator<Run> {
  let logical = 0;
  async function* level(block: number, depth: number): AsyncGenerator<Run> {
    if (depth === 0 || block === 0) {
      if (block !== 0) yield { logical, physical: block, count: 1 };
      logical += perBlock ** depth;
      return;
    }
    const numbers = await readBlock(block);
    for (let at = 0; at < numbers.length && logical < limit; at += 4) {
      yield* level(numbers.readUInt32LE(at), depth - 1);
    }
  }
  for (let index = 0; index < 15 && logical < limit; index++) {
    yield* level(map.readUInt32LE(index * 4), Math.max(0, index - 11));
  }
}

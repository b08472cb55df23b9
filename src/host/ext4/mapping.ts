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
  /** False where the blocks were allocated but never written: they read as zeros. */
  written: boolean;
}

/** Reads one whole block. */
export type ReadBlock = (block: number) => Promise<Buffer>;

const extentMagic = 0xf30a;
/** The kernel's own bound (EXT4_MAX_EXTENT_DEPTH). */
const deepest = 5;
/** An extent longer than this was allocated but never written, and reads as zeros. */
const longestWritten = 32_768;

/**
 * Runs of an inode that keeps its data in blocks, as far as its size goes: those that were written.
 * @throws MalformedError
 */
export async function* runsOf(inode: Inode, readBlock: ReadBlock, blockSize: number): AsyncGenerator<Run> {
  const limit = Math.ceil(inode.size / blockSize);
  for await (const run of allRunsOf(inode, readBlock, blockSize, limit)) if (run.written) yield run;
}

/**
 * The same with runs that were allocated but never written, up to a block of the file.
 * @param limit in blocks; beyond the size of the file where its owner is still filling it
 */
export async function* allRunsOf(
  inode: Inode,
  readBlock: ReadBlock,
  blockSize: number,
  limit: number,
): AsyncGenerator<Run> {
  let reached = 0;
  const runs =
    inode.flags & inodeFlags.extents
      ? extents({ inode, readBlock, limit, seen: new Set(), reached: 0 }, inode.block, undefined)
      : mapped(inode, readBlock, blockSize / 4, limit);
  for await (const run of runs) {
    if (run.logical < reached) throw new MalformedError(`the block list of inode ${inode.number} is damaged`);
    if (run.logical >= limit) return;
    reached = run.logical + run.count;
    yield run;
  }
}

/** A walk through an extent tree. */
interface ExtentWalk {
  inode: Inode;
  readBlock: ReadBlock;
  /** Blocks that the file's size reaches. */
  limit: number;
  /** Blocks of the nodes so far. No node has two parents: without this, five blocks make a tree that takes years. */
  seen: Set<number>;
  /** Logical block after the last extent, written or not. */
  reached: number;
}

async function* extents(
  walk: ExtentWalk,
  node: Buffer,
  expectedDepth: number | undefined,
): AsyncGenerator<Run> {
  const { inode, readBlock, limit, seen } = walk;
  const damaged = () => new MalformedError(`the extent tree of inode ${inode.number} is damaged`);
  const count = node.readUInt16LE(2);
  const depth = node.readUInt16LE(6);
  const fits = 12 + count * 12 <= node.length;
  if (node.readUInt16LE(0) !== extentMagic || !fits || depth > deepest) throw damaged();
  if (expectedDepth !== undefined && (depth !== expectedDepth || count === 0)) throw damaged();
  for (let index = 0; index < count; index++) {
    const at = 12 + index * 12;
    const logical = node.readUInt32LE(at);
    if (logical >= limit) return;
    if (depth === 0) {
      const length = node.readUInt16LE(at + 4);
      const physical = node.readUInt32LE(at + 8) + node.readUInt16LE(at + 6) * 2 ** 32;
      if (length === 0 || logical < walk.reached) throw damaged();
      const written = length <= longestWritten;
      const count = written ? length : length - longestWritten;
      walk.reached = logical + count;
      yield { logical, physical, count, written };
      continue;
    }
    const place = node.readUInt32LE(at + 4) + node.readUInt16LE(at + 8) * 2 ** 32;
    if (seen.has(place)) throw damaged();
    seen.add(place);
    const child = await readBlock(place);
    if (inode.seed !== undefined) {
      // The checksum follows the last place an extent could have.
      const end = 12 + child.readUInt16LE(4) * 12;
      if (end + 4 > child.length || crc32c(inode.seed, child.subarray(0, end)) !== child.readUInt32LE(end))
        throw damaged();
    }
    yield* extents(walk, child, depth - 1);
  }
}

/** The block map of ext2 and ext3: twelve blocks, then one, two and three levels of blocks of numbers. */
async function* mapped(
  inode: Inode,
  readBlock: ReadBlock,
  perBlock: number,
  limit: number,
): AsyncGenerator<Run> {
  const map = inode.block;
  // As in an extent tree: a block of numbers that names itself three levels deep would take hours.
  const seen = new Set<number>();
  let logical = 0;
  async function* level(block: number, depth: number): AsyncGenerator<Run> {
    if (depth === 0 || block === 0) {
      if (block !== 0) yield { logical, physical: block, count: 1, written: true };
      logical += perBlock ** depth;
      return;
    }
    if (seen.has(block)) throw new MalformedError(`the block list of inode ${inode.number} is damaged`);
    seen.add(block);
    const numbers = await readBlock(block);
    for (let at = 0; at < numbers.length && logical < limit; at += 4) {
      yield* level(numbers.readUInt32LE(at), depth - 1);
    }
  }
  for (let index = 0; index < 15 && logical < limit; index++) {
    yield* level(map.readUInt32LE(index * 4), Math.max(0, index - 11));
  }
}

import { type Blocks, joinedBlocks } from '../disk/blocks.ts';
import { cachedBlocks } from '../disk/cached.ts';
import { interruptible } from '../disk/interruptible.ts';
import { type Bytes, MalformedError } from '../tar/bytes.ts';
import { type DirectoryEntry, directoryEntries } from './directory.ts';
import { type Group, parseGroup } from './group.ts';
import { fileType, type Inode, inodeFlags, parseInode } from './inode.ts';
import { allRunsOf, type ReadBlock, type Run, runsOf } from './mapping.ts';
import { readSuperblock, type Superblock } from './superblock.ts';
import { attributesHeader, blockAttributes, inodeAttributes } from './xattrs.ts';

const rootInode = 2;
const chunk = 1024 * 1024;
const zeros = Buffer.alloc(chunk);
/** Holes cost nothing on the disk but time to read back; no file of an operating system comes near. */
const largestFile = 64 * 1024 ** 3;
const largestDirectory = 256 * 1024 * 1024;
/** Names in a directory: 256 MiB could hold 20 million short ones, more than memory does. */
const mostNames = 4_000_000;
const largestAttribute = 64 * 1024;

/**
 * Reads an ext2, ext3 or ext4 file system without mounting it: all of a hostile one that is parsed is parsed here, in memory,
 * as the calling user. Every checksum that the file system keeps of its metadata is verified.
 */
export class Ext4 {
  readonly superblock: Superblock;
  readonly #volume: Blocks;

  private constructor(volume: Blocks, superblock: Superblock) {
    this.#volume = volume;
    this.superblock = superblock;
  }

  /** @throws MalformedError where the superblock is damaged or names what this reader does not know */
  static async open(volume: Blocks, signal?: AbortSignal): Promise<Ext4> {
    const superblock = await readSuperblock(volume);
    const size = superblock.blocksCount * superblock.blockSize;
    const cached = cachedBlocks(joinedBlocks([{ blocks: volume, offset: 0, length: size }]));
    return new Ext4(interruptible(cached, signal), superblock);
  }

  root(): Promise<Inode> {
    return this.inode(rootInode);
  }

  async inode(number: number): Promise<Inode> {
    const { inodesCount, inodesPerGroup, inodeSize, blockSize, seed } = this.superblock;
    if (number < 1 || number > inodesCount) throw new MalformedError(`there is no inode ${number}`);
    const { inodeTable } = await this.group(Math.floor((number - 1) / inodesPerGroup));
    const offset = inodeTable * blockSize + ((number - 1) % inodesPerGroup) * inodeSize;
    return parseInode(number, await this.#volume.read(offset, inodeSize), seed);
  }

  /** Where the metadata of a group of blocks lies. */
  async group(index: number): Promise<Group> {
    const { descriptorSize, descriptorsBlock, blockSize } = this.superblock;
    const offset = descriptorsBlock * blockSize + index * descriptorSize;
    return parseGroup(await this.#volume.read(offset, descriptorSize));
  }

  /**
   * Where a file's bytes lie, in blocks; what is not named is a hole. Inodes with {@link inodeFlags.inlineData} have none.
   * @param options unwritten: with runs that were allocated but never written, whatever the size of the file; readBlock: reads the blocks of the list itself
   * @throws MalformedError
   */
  runs(inode: Inode, options: { unwritten?: boolean; readBlock?: ReadBlock } = {}): AsyncGenerator<Run> {
    const read = options.readBlock ?? this.readBlock;
    const { blockSize } = this.superblock;
    return options.unwritten ? allRunsOf(inode, read, blockSize, 2 ** 32) : runsOf(inode, read, blockSize);
  }

  /** One whole block. */
  readonly readBlock: ReadBlock = (block) =>
    this.#volume.read(block * this.superblock.blockSize, this.superblock.blockSize);

  /** The content of a file, link or directory; holes are zeros. @throws MalformedError */
  async *content(inode: Inode): Bytes {
    if (inode.flags & inodeFlags.encrypted) throw new MalformedError('it has encrypted files');
    if (inode.size > largestFile) throw new MalformedError('it has a file larger than 64 GiB');
    if (inode.flags & inodeFlags.inlineData) {
      yield await this.#inline(inode);
      return;
    }
    const { blockSize } = this.superblock;
    let at = 0;
    function* hole(end: number) {
      for (; at < end; at += Math.min(chunk, end - at)) yield zeros.subarray(0, Math.min(chunk, end - at));
    }
    for await (const { logical, physical, count } of runsOf(inode, this.readBlock, blockSize)) {
      yield* hole(logical * blockSize);
      const end = Math.min(inode.size, (logical + count) * blockSize);
      for (let from = physical * blockSize; at < end; ) {
        const length = Math.min(chunk, end - at);
        yield await this.#volume.read(from, length);
        from += length;
        at += length;
      }
    }
    yield* hole(inode.size);
  }

  /** Up to 60 bytes in the place of the block list, the rest in an attribute (inlinedata.rst). */
  async #inline(inode: Inode): Promise<Buffer> {
    const rest = inodeAttributes(inode.extra).find(({ name }) => name === 'system.data')?.value;
    const data = Buffer.concat([inode.block, Buffer.isBuffer(rest) ? rest : Buffer.alloc(0)]);
    if (data.length < inode.size) throw new MalformedError(`inode ${inode.number} is damaged`);
    return data.subarray(0, inode.size);
  }

  async #all(inode: Inode, limit: number): Promise<Buffer> {
    if (inode.size > limit) throw new MalformedError(`inode ${inode.number} is larger than it can be`);
    const pieces: Uint8Array[] = [];
    for await (const piece of this.content(inode)) pieces.push(piece);
    return Buffer.concat(pieces);
  }

  /** Names in a directory, sorted by their bytes. @throws MalformedError */
  async list(inode: Inode): Promise<DirectoryEntry[]> {
    if (inode.type !== fileType.directory) throw new MalformedError(`inode ${inode.number} is no directory`);
    const { blockSize } = this.superblock;
    const found: DirectoryEntry[] = [];
    if (inode.flags & inodeFlags.inlineData) {
      // The parent's number, entries up to the end of the block list's place, then the attribute's.
      const data = await this.#inline(inode);
      found.push(...directoryEntries(data.subarray(4, 60)), ...directoryEntries(data.subarray(60)));
    } else {
      const data = await this.#all(inode, largestDirectory);
      for (let at = 0; at < data.length; at += blockSize) {
        found.push(...directoryEntries(data.subarray(at, at + blockSize), inode.seed));
        if (found.length > mostNames)
          throw new MalformedError(`the directory of inode ${inode.number} has more than ${mostNames} names`);
      }
    }
    return found.sort((a, b) => (a.name < b.name ? -1 : 1));
  }

  /** Target of a symbolic link, as a byte string. @throws MalformedError */
  async target(inode: Inode): Promise<string> {
    if (inode.size > 4096) throw new MalformedError(`the link of inode ${inode.number} is too long`);
    // Up to 59 bytes lie in the place of the block list (ifork.rst).
    const short = inode.size < 60 && (inode.flags & (inodeFlags.extents | inodeFlags.inlineData)) === 0;
    const bytes = short ? inode.block.subarray(0, inode.size) : await this.#all(inode, 4096);
    return bytes.toString('latin1');
  }

  /** Extended attributes by full name; ACLs in ext4's own form. @throws MalformedError */
  async attributes(inode: Inode): Promise<Map<string, Buffer>> {
    const all = inodeAttributes(inode.extra);
    if (inode.attributesBlock !== 0) {
      const block = await this.readBlock(inode.attributesBlock);
      if (block.length > attributesHeader) all.push(...blockAttributes(block));
    }
    const found = new Map<string, Buffer>();
    for (const { name, value } of all) {
      if (name === 'system.data') continue;
      found.set(name, Buffer.isBuffer(value) ? value : await this.#attributeValue(value.inode, value.size));
    }
    return found;
  }

  async #attributeValue(number: number, size: number): Promise<Buffer> {
    const inode = await this.inode(number);
    if ((inode.flags & inodeFlags.attributeValue) === 0 || inode.size !== size || size > largestAttribute)
      throw new MalformedError(`inode ${number} holds no attribute`);
    return this.#all(inode, largestAttribute);
  }
}

import type { Ext4 } from '../../host/ext4/filesystem.ts';
import { fileType, type Inode, inodeFlags } from '../../host/ext4/inode.ts';
import { allRunsOf } from '../../host/ext4/mapping.ts';
import { MalformedError } from '../../host/tar/bytes.ts';
import type { WorkImage } from './write/work-image.ts';

/** In bytes, as for every reader of this file system. */
const largestFolder = 256 * 2 ** 20;

/**
 * Loads what debugfs needs to make and remove files: superblock, group descriptors, bitmaps, and the used part of the tables
 * of inodes. Directories and block lists are loaded by {@link loadInode} when they are looked at.
 */
export async function loadMetadata(image: WorkImage, ext4: Ext4): Promise<void> {
  const { superblock } = ext4;
  const { blockSize, inodeSize, inodesPerGroup, firstDataBlock, blocksPerGroup } = superblock;
  const groups = Math.ceil((superblock.blocksCount - firstDataBlock) / blocksPerGroup);
  const descriptors = Math.ceil((groups * superblock.descriptorSize) / blockSize);
  await image.load(0, superblock.descriptorsBlock + descriptors);
  for (let index = 0; index < groups; index++) {
    const group = await ext4.group(index);
    if (!group.blocksUninitialised) await image.load(group.blockBitmap, 1);
    if (group.inodesUninitialised) continue;
    await image.load(group.inodeBitmap, 1);
    const used = Math.max(0, inodesPerGroup - group.unusedInodes);
    await image.load(group.inodeTable, Math.ceil((used * inodeSize) / blockSize));
  }
}

/** Loads what belongs to an inode besides the content of a file: block list, block of attributes, blocks of a directory or link. */
export async function loadInode(image: WorkImage, ext4: Ext4, inode: Inode): Promise<void> {
  if (inode.attributesBlock !== 0) await image.load(inode.attributesBlock, 1);
  const inBlocks = fileType.directory === inode.type || inode.type === fileType.symlink;
  const short = inode.type === fileType.symlink && inode.size < 60 && !(inode.flags & inodeFlags.extents);
  const mapped = inBlocks || inode.type === fileType.regular;
  if (!mapped || short || inode.flags & inodeFlags.inlineData) return;
  let blocks = 0;
  // Reading the list loads its blocks, because they are read through the image.
  for await (const { physical, count } of allRunsOf(
    inode,
    ext4.readBlock,
    ext4.superblock.blockSize,
    2 ** 32,
  )) {
    if (!inBlocks) continue;
    blocks += count;
    if (blocks * ext4.superblock.blockSize > largestFolder)
      throw new MalformedError(`inode ${inode.number} is larger than it can be`);
    await image.load(physical, count);
  }
}

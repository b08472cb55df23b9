import { crc32c } from '../crc.ts';
import type { Blocks } from '../disk/blocks.ts';
import { MalformedError } from '../tar/bytes.ts';

/*
 * Layouts: the kernel's Documentation/filesystems/ext4 (globals.rst, super.rst). Numbers are little-endian.
 */

/** Offsets in the superblock, in bytes; it lies 1024 bytes into the volume. */
const at = {
  inodesCount: 0x00,
  blocksCount: 0x04,
  freeBlocks: 0x0c,
  freeInodes: 0x10,
  firstDataBlock: 0x14,
  logBlockSize: 0x18,
  blocksPerGroup: 0x20,
  inodesPerGroup: 0x28,
  magic: 0x38,
  state: 0x3a,
  revision: 0x4c,
  inodeSize: 0x58,
  compatible: 0x5c,
  incompatible: 0x60,
  readOnlyCompatible: 0x64,
  uuid: 0x68,
  label: 0x78,
  journalInode: 0xe0,
  descriptorSize: 0xfe,
  blocksCountHigh: 0x150,
  freeBlocksHigh: 0x158,
  checksumSeed: 0x270,
  checksum: 0x3fc,
} as const;

/** Incompatible features: a reader must know each that is set. */
const incompatible = {
  needsRecovery: 0x4,
  journalDevice: 0x8,
  metaBlockGroups: 0x10,
  sixtyFourBit: 0x80,
  checksumSeed: 0x2000,
} as const;
/** FILETYPE, RECOVER, EXTENTS, 64BIT, MMP, FLEX_BG, EA_INODE, CSUM_SEED, LARGEDIR, INLINE_DATA, ENCRYPT, CASEFOLD. */
const known = 0x2 | 0x4 | 0x40 | 0x80 | 0x100 | 0x200 | 0x400 | 0x2000 | 0x4000 | 0x8000 | 0x10000 | 0x20000;
const metadataChecksums = 0x400;
/** Read-only compatible: BIGALLOC. */
const bigalloc = 0x200;

/** What a reader needs to know of an ext2, ext3 or ext4 file system. */
export interface Superblock {
  /** In bytes. */
  blockSize: number;
  blocksCount: number;
  inodesCount: number;
  inodesPerGroup: number;
  /** In bytes. */
  inodeSize: number;
  /** In bytes. */
  descriptorSize: number;
  /** First block of the group descriptors. */
  descriptorsBlock: number;
  blocksPerGroup: number;
  /** First block of the first group: 1 where blocks have 1024 bytes, else 0. */
  firstDataBlock: number;
  freeBlocks: number;
  freeInodes: number;
  /** Bytes of blocks in use, metadata included. */
  usedBytes: number;
  /** Feature bits as they lie on the disk (super.rst). */
  features: { compatible: number; incompatible: number; readOnlyCompatible: number };
  /** The kernel met errors in it since it was last checked. */
  hasErrors: boolean;
  /** 0 for none. */
  journalInode: number;
  uuid: string;
  label: string;
  /** The journal holds changes that are not in their places yet: it was not unmounted. */
  needsRecovery: boolean;
  /** Start value of metadata checksums; undefined where the file system has none. */
  seed: number | undefined;
}

export const superblockOffset = 1024;
export const superblockSize = 1024;

/**
 * Reads the superblock.
 * @throws MalformedError where it is damaged, or uses what this reader does not know
 */
export async function readSuperblock(volume: Blocks): Promise<Superblock> {
  const block = await volume.read(superblockOffset, superblockSize);
  const damaged = (what: string) => new MalformedError(`its ext4 superblock ${what}`);
  if (block.readUInt16LE(at.magic) !== 0xef53) throw damaged('is not there');
  const features = block.readUInt32LE(at.incompatible);
  const checked = (block.readUInt32LE(at.readOnlyCompatible) & metadataChecksums) !== 0;
  if (checked && crc32c(0xffff_ffff, block.subarray(0, at.checksum)) !== block.readUInt32LE(at.checksum))
    throw damaged('has a wrong checksum');
  const unknown = features & ~known;
  if (features & incompatible.metaBlockGroups)
    throw new MalformedError('its ext4 file system has meta block groups, which this reader does not know');
  if (features & incompatible.journalDevice) throw new MalformedError('it is a journal, not a file system');
  if (unknown !== 0)
    throw new MalformedError(
      `its ext4 file system has features this reader does not know (0x${unknown.toString(16)})`,
    );

  const wide = (features & incompatible.sixtyFourBit) !== 0;
  const logBlockSize = block.readUInt32LE(at.logBlockSize);
  // 1024 << 32 is 1024 again.
  if (logBlockSize > 6) throw damaged('is damaged');
  const blockSize = 1024 << logBlockSize;
  const count = (low: number, high: number) =>
    block.readUInt32LE(low) + (wide ? block.readUInt32LE(high) * 2 ** 32 : 0);
  const blocksCount = count(at.blocksCount, at.blocksCountHigh);
  const freeBlocks = count(at.freeBlocks, at.freeBlocksHigh);
  const revision = block.readUInt32LE(at.revision);
  const uuid = block.subarray(at.uuid, at.uuid + 16);
  const found: Superblock = {
    blockSize,
    blocksCount,
    inodesCount: block.readUInt32LE(at.inodesCount),
    inodesPerGroup: block.readUInt32LE(at.inodesPerGroup),
    inodeSize: revision === 0 ? 128 : block.readUInt16LE(at.inodeSize),
    descriptorSize: wide ? block.readUInt16LE(at.descriptorSize) : 32,
    descriptorsBlock: block.readUInt32LE(at.firstDataBlock) + 1,
    blocksPerGroup: block.readUInt32LE(at.blocksPerGroup),
    firstDataBlock: block.readUInt32LE(at.firstDataBlock),
    freeBlocks,
    freeInodes: block.readUInt32LE(at.freeInodes),
    usedBytes: Math.max(0, blocksCount - freeBlocks) * blockSize,
    features: {
      compatible: block.readUInt32LE(at.compatible),
      incompatible: features,
      readOnlyCompatible: block.readUInt32LE(at.readOnlyCompatible),
    },
    hasErrors: (block.readUInt16LE(at.state) & 2) !== 0,
    journalInode: block.readUInt32LE(at.journalInode),
    uuid: uuidText(uuid),
    label: block.toString('utf8', at.label, at.label + 16).replace(/\0.*$/s, ''),
    needsRecovery: (features & incompatible.needsRecovery) !== 0,
    seed: !checked
      ? undefined
      : features & incompatible.checksumSeed
        ? block.readUInt32LE(at.checksumSeed)
        : crc32c(0xffff_ffff, uuid),
  };
  const powerOfTwo = (n: number) => n > 0 && (n & (n - 1)) === 0;
  const sound =
    found.firstDataBlock <= 1 &&
    found.inodesPerGroup > 0 &&
    found.inodesPerGroup <= 8 * blockSize &&
    // A bitmap is one block; with BIGALLOC its bits stand for more than a block each.
    found.blocksPerGroup >= 8 &&
    (found.blocksPerGroup <= 8 * blockSize || (found.features.readOnlyCompatible & bigalloc) !== 0) &&
    powerOfTwo(found.inodeSize) &&
    found.inodeSize >= 128 &&
    found.inodeSize <= blockSize &&
    found.descriptorSize >= 32 &&
    found.descriptorSize <= 1024;
  if (!sound) throw damaged('is damaged');
  if (blocksCount * blockSize > volume.size) throw damaged('speaks of more blocks than the volume has');
  return found;
}

/** A UUID as RFC 9562 writes it: unlike a GUID, all its bytes in order. */
function uuidText(bytes: Buffer): string {
  return bytes.toString('hex').replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
}

/**
 * Sets or clears the mark that a journal holds changes, and the checksum of the superblock where it has one.
 * @param block the 1024 bytes of a superblock; changed in place
 */
export function markRecovery(block: Buffer, needed: boolean): void {
  const features = block.readUInt32LE(at.incompatible);
  const { needsRecovery } = incompatible;
  block.writeUInt32LE(needed ? features | needsRecovery : features & ~needsRecovery, at.incompatible);
  if ((block.readUInt32LE(at.readOnlyCompatible) & metadataChecksums) !== 0)
    block.writeUInt32LE(crc32c(0xffff_ffff, block.subarray(0, at.checksum)), at.checksum);
}

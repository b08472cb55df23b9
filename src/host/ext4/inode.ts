import { crc32c } from '../crc.ts';
import { MalformedError } from '../tar/bytes.ts';

/*
 * Layouts: the kernel's Documentation/filesystems/ext4/inodes.rst. Numbers are little-endian.
 */

/** Offsets in an inode, in bytes. */
const at = {
  mode: 0x00,
  uid: 0x02,
  size: 0x04,
  ctime: 0x0c,
  mtime: 0x10,
  gid: 0x18,
  links: 0x1a,
  flags: 0x20,
  block: 0x28,
  generation: 0x64,
  fileAcl: 0x68,
  sizeHigh: 0x6c,
  fileAclHigh: 0x76,
  uidHigh: 0x78,
  gidHigh: 0x7a,
  checksum: 0x7c,
  extraSize: 0x80,
  checksumHigh: 0x82,
  mtimeExtra: 0x88,
} as const;

export const inodeFlags = {
  encrypted: 0x800,
  indexed: 0x1000,
  extents: 0x8_0000,
  attributeValue: 0x20_0000,
  inlineData: 0x1000_0000,
} as const;

/** File types in the upper four bits of the mode (inode(7)). */
export const fileType = {
  fifo: 0x1000,
  character: 0x2000,
  directory: 0x4000,
  block: 0x6000,
  regular: 0x8000,
  symlink: 0xa000,
} as const;

/** An inode as it lies on the disk. */
export interface Inode {
  number: number;
  /** One of {@link fileType}, or a number that is none. */
  type: number;
  /** Permission bits with set-id and sticky bits. */
  mode: number;
  uid: number;
  gid: number;
  /** In bytes. */
  size: number;
  /** Seconds since 1970; may be negative. */
  mtime: number;
  links: number;
  flags: number;
  /** 60 bytes: extent tree, block map, short link, inline data or device number. */
  block: Buffer;
  /** Block with extended attributes; 0 for none. */
  attributesBlock: number;
  /** What follows the fixed fields inside of the inode: attributes, where there are any. */
  extra: Buffer;
  /** Start value for checksums of what belongs to this inode; undefined where there are none. */
  seed: number | undefined;
}

const number32 = (value: number) => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value >>> 0);
  return bytes;
};

/**
 * @param raw the inode's bytes, as many as the superblock says
 * @param seed start value of the file system's checksums
 * @throws MalformedError where its checksum is wrong
 */
export function parseInode(number: number, raw: Buffer, seed: number | undefined): Inode {
  const extraSize = raw.length > 128 ? raw.readUInt16LE(at.extraSize) : 0;
  if (128 + extraSize > raw.length) throw new MalformedError(`inode ${number} is damaged`);
  const has = (field: number, size: number) => field + size <= 128 + extraSize;
  const own =
    seed === undefined
      ? undefined
      : crc32c(crc32c(seed, number32(number)), raw.subarray(at.generation, at.generation + 4));
  if (own !== undefined) {
    const zeroed = Buffer.from(raw);
    zeroed.writeUInt16LE(0, at.checksum);
    const wide = has(at.checksumHigh, 2);
    if (wide) zeroed.writeUInt16LE(0, at.checksumHigh);
    const stored = raw.readUInt16LE(at.checksum) + (wide ? raw.readUInt16LE(at.checksumHigh) * 65_536 : 0);
    const computed = crc32c(own, zeroed);
    if ((wide ? computed : computed & 0xffff) !== stored)
      throw new MalformedError(`inode ${number} has a wrong checksum`);
  }
  const mode = raw.readUInt16LE(at.mode);
  // The two lowest bits of the extra field are bits 32 and 33 of the seconds.
  const epoch = has(at.mtimeExtra, 4) ? raw.readUInt32LE(at.mtimeExtra) & 3 : 0;
  return {
    number,
    type: mode & 0xf000,
    mode: mode & 0o7777,
    uid: raw.readUInt16LE(at.uid) + raw.readUInt16LE(at.uidHigh) * 65_536,
    gid: raw.readUInt16LE(at.gid) + raw.readUInt16LE(at.gidHigh) * 65_536,
    size: raw.readUInt32LE(at.size) + raw.readUInt32LE(at.sizeHigh) * 2 ** 32,
    mtime: raw.readInt32LE(at.mtime) + epoch * 2 ** 32,
    links: raw.readUInt16LE(at.links),
    flags: raw.readUInt32LE(at.flags),
    block: Buffer.from(raw.subarray(at.block, at.block + 60)),
    attributesBlock: raw.readUInt32LE(at.fileAcl) + raw.readUInt16LE(at.fileAclHigh) * 2 ** 32,
    extra: Buffer.from(raw.subarray(128 + extraSize)),
    seed: own,
  };
}

/** Major and minor number of a device: the old 16-bit form first, where that is 0 the wide one (new_decode_dev). */
export function deviceOf({ block }: Inode): { major: number; minor: number } {
  const old = block.readUInt32LE(0);
  if (old !== 0) return { major: (old >>> 8) & 0xff, minor: old & 0xff };
  const wide = block.readUInt32LE(4);
  return { major: (wide >>> 8) & 0xfff, minor: (wide & 0xff) | ((wide >>> 12) & 0xf_ff00) };
}

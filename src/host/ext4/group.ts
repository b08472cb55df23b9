/*
 * Group descriptors: the kernel's Documentation/filesystems/ext4/group_descr.rst. Numbers are little-endian.
 */

/** Offsets in a group descriptor, in bytes; the upper halves are there from 64 bytes on. */
const at = {
  blockBitmap: [0x00, 0x20],
  inodeBitmap: [0x04, 0x24],
  inodeTable: [0x08, 0x28],
  unusedInodes: [0x1c, 0x32],
  flags: 0x12,
} as const;

const inodesUninitialised = 1;
const blocksUninitialised = 2;

/** The metadata of one group of blocks; places are blocks of the volume. */
export interface Group {
  blockBitmap: number;
  inodeBitmap: number;
  inodeTable: number;
  /** Inodes at the end of the table that were never used. */
  unusedInodes: number;
  /** Bitmap and table of inodes were never written. */
  inodesUninitialised: boolean;
  /** The bitmap of blocks was never written. */
  blocksUninitialised: boolean;
}

/** @param bytes 32 bytes, or 64 and more */
export function parseGroup(bytes: Buffer): Group {
  const wide = bytes.length >= 64;
  const place = ([low, high]: readonly [number, number]) =>
    bytes.readUInt32LE(low) + (wide ? bytes.readUInt32LE(high) * 2 ** 32 : 0);
  const flags = bytes.readUInt16LE(at.flags);
  const [unusedLow, unusedHigh] = at.unusedInodes;
  return {
    blockBitmap: place(at.blockBitmap),
    inodeBitmap: place(at.inodeBitmap),
    inodeTable: place(at.inodeTable),
    unusedInodes: bytes.readUInt16LE(unusedLow) + (wide ? bytes.readUInt16LE(unusedHigh) * 65_536 : 0),
    inodesUninitialised: (flags & inodesUninitialised) !== 0,
    blocksUninitialised: (flags & blocksUninitialised) !== 0,
  };
}

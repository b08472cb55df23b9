import { crc32c } from '../crc.ts';
import { MalformedError } from '../tar/bytes.ts';

/*
 * Directories: the kernel's Documentation/filesystems/ext4/directory.rst. Numbers are little-endian. The inner blocks of a
 * hashed directory look like empty entries to this reader, as they do to old kernels, so that one loop reads every kind.
 */

/** A name in a directory, as a byte string. */
export interface DirectoryEntry {
  name: string;
  inode: number;
}

/** Size of the entry at the end of a block that holds its checksum, in bytes. */
const tail = 12;

/**
 * Entries of one directory block, `.` and `..` left out.
 * @param seed start value of the directory's checksums; undefined where there are none
 * @throws MalformedError
 */
export function directoryEntries(block: Buffer, seed?: number): DirectoryEntry[] {
  const damaged = () => new MalformedError('a directory is damaged');
  if (seed !== undefined && hasTail(block)) {
    const content = block.subarray(0, block.length - tail);
    if (crc32c(seed, content) !== block.readUInt32LE(block.length - 4)) throw damaged();
  }
  const found: DirectoryEntry[] = [];
  for (let at = 0; at < block.length; ) {
    if (at + 8 > block.length) throw damaged();
    const inode = block.readUInt32LE(at);
    // Blocks of 64 KiB write their own size as 0 or 65535.
    const stored = block.readUInt16LE(at + 4);
    const length = stored === 0 || stored === 65_535 ? block.length - at : stored;
    const nameLength = block[at + 6]!;
    if (length < 8 || at + length > block.length || 8 + nameLength > length) throw damaged();
    if (inode !== 0 && nameLength > 0) {
      const name = block.toString('latin1', at + 8, at + 8 + nameLength);
      if (name !== '.' && name !== '..') {
        if (name.includes('/') || name.includes('\0')) throw damaged();
        found.push({ name, inode });
      }
    }
    at += length;
  }
  return found;
}

function hasTail(block: Buffer): boolean {
  const at = block.length - tail;
  return (
    block.readUInt32LE(at) === 0 &&
    block.readUInt16LE(at + 4) === tail &&
    block[at + 6] === 0 &&
    block[at + 7] === 0xde
  );
}

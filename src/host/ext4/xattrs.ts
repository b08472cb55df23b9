import { MalformedError } from '../tar/bytes.ts';

/*
 * Extended attributes: the kernel's Documentation/filesystems/ext4/attributes.rst. Numbers are little-endian.
 */

const magic = 0xea02_0000;
/** Size of the header of a block of attributes, in bytes. */
export const attributesHeader = 32;

/** Prefixes by the index in an entry. */
const prefixes: Readonly<Record<number, string>> = {
  1: 'user.',
  2: 'system.posix_acl_access',
  3: 'system.posix_acl_default',
  4: 'trusted.',
  6: 'security.',
  7: 'system.',
  8: 'system.richacl',
};

/** Where a value lies: in the same bytes, or in an inode of its own. */
export interface Attribute {
  name: string;
  value: Buffer | { inode: number; size: number };
}

/** Attributes inside of an inode: what follows its fixed fields. */
export function inodeAttributes(extra: Buffer): Attribute[] {
  if (extra.length < 8 || extra.readUInt32LE(0) !== magic) return [];
  const entries = extra.subarray(4);
  return parse(entries, 0, entries);
}

/** Attributes of a block of their own. @throws MalformedError */
export function blockAttributes(block: Buffer): Attribute[] {
  if (block.readUInt32LE(0) !== magic) throw new MalformedError('a block of extended attributes is damaged');
  return parse(block, attributesHeader, block);
}

/** Entries from `start` to a zero word; their values lie at offsets in `values`. */
function parse(entries: Buffer, start: number, values: Buffer): Attribute[] {
  const damaged = () => new MalformedError('extended attributes are damaged');
  const found: Attribute[] = [];
  for (let at = start; at + 4 <= entries.length && entries.readUInt32LE(at) !== 0; ) {
    if (at + 16 > entries.length) throw damaged();
    const nameLength = entries[at]!;
    const prefix = prefixes[entries[at + 1]!];
    const offset = entries.readUInt16LE(at + 2);
    const inode = entries.readUInt32LE(at + 4);
    const size = entries.readUInt32LE(at + 8);
    if (at + 16 + nameLength > entries.length) throw damaged();
    const name = (prefix ?? '') + entries.toString('latin1', at + 16, at + 16 + nameLength);
    if (inode === 0 && offset + size > values.length) throw damaged();
    if (prefix !== undefined) {
      const value = inode === 0 ? Buffer.from(values.subarray(offset, offset + size)) : { inode, size };
      found.push({ name, value });
    }
    at += (16 + nameLength + 3) & ~3;
  }
  return found;
}

import { MalformedError } from './bytes.ts';
import type { EntryType } from './entry.ts';

/** Size of a tar block: headers fill one, bodies are padded to whole ones. */
export const blockSize = 512;

/** Header fields: [offset, size] in bytes (POSIX.1-1988 ustar; GNU tar uses the first 257 bytes alike). */
export const fields = {
  name: [0, 100],
  mode: [100, 8],
  uid: [108, 8],
  gid: [116, 8],
  size: [124, 12],
  mtime: [136, 12],
  checksum: [148, 8],
  type: [156, 1],
  linkName: [157, 100],
  magic: [257, 8],
  deviceMajor: [329, 8],
  deviceMinor: [337, 8],
  prefix: [345, 155],
} as const satisfies Record<string, readonly [number, number]>;

type Field = readonly [offset: number, size: number];

/** A header block as it lies in the stream, extensions not yet applied. */
export interface RawHeader {
  name: string;
  typeFlag: string;
  mode: number;
  uid: number;
  gid: number;
  size: number;
  mtime: number;
  linkName: string;
  deviceMajor: number;
  deviceMinor: number;
}

/** Types by ustar type flag. */
export const typeOfFlag: Readonly<Record<string, EntryType>> = {
  '0': 'file',
  '\0': 'file',
  '7': 'file',
  S: 'file',
  '1': 'hard link',
  '2': 'symlink',
  '3': 'character device',
  '4': 'block device',
  '5': 'directory',
  '6': 'fifo',
};

function slice(block: Buffer, [offset, size]: Field): Buffer {
  return block.subarray(offset, offset + size);
}

/** Bytes up to the first NUL, as a byte string. */
export function text(block: Buffer, field: Field): string {
  const bytes = slice(block, field);
  const end = bytes.indexOf(0);
  return bytes.toString('latin1', 0, end < 0 ? bytes.length : end);
}

/** A number field: octal digits, or with the first bit set a big-endian two's complement number (GNU base-256). */
export function number(block: Buffer, field: Field): number {
  const bytes = slice(block, field);
  const first = bytes[0]!;
  if (first & 0x80) {
    let value = BigInt(first & 0x40 ? first - 0x100 : first & 0x3f);
    for (const byte of bytes.subarray(1)) value = value * 256n + BigInt(byte);
    if (value > BigInt(Number.MAX_SAFE_INTEGER) || value < BigInt(Number.MIN_SAFE_INTEGER)) {
      throw new MalformedError('a number in a tar header is too large');
    }
    return Number(value);
  }
  const digits = bytes.toString('latin1').replace(/^[ \0]+|[ \0].*$/gs, '');
  if (!/^[0-7]*$/.test(digits)) throw new MalformedError('a number in a tar header is not octal');
  return digits === '' ? 0 : Number.parseInt(digits, 8);
}

/** Sum of all bytes with the checksum field taken as blanks; old tars summed signed bytes. */
function checksums(block: Buffer): { unsigned: number; signed: number } {
  const [start, size] = fields.checksum;
  let unsigned = 0;
  let signed = 0;
  for (let i = 0; i < blockSize; i++) {
    const byte = i >= start && i < start + size ? 0x20 : block[i]!;
    unsigned += byte;
    signed += byte > 127 ? byte - 256 : byte;
  }
  return { unsigned, signed };
}

/** The checksum that belongs into a header block. */
export function checksum(block: Buffer): number {
  return checksums(block).unsigned;
}

/** True for a block of 512 bytes whose header checksum holds; a block of zeros is not a header. */
export function isHeader(block: Buffer): boolean {
  if (block.length !== blockSize) return false;
  const stored = text(block, fields.checksum).trim();
  if (!/^[0-7]+$/.test(stored)) return false;
  const { unsigned, signed } = checksums(block);
  const claimed = Number.parseInt(stored, 8);
  return claimed === unsigned || claimed === signed;
}

/** True for the block that ends a tar stream. */
export function isEnd(block: Buffer): boolean {
  return block.length === blockSize && !block.some((byte) => byte !== 0);
}

/** @throws MalformedError where the block is no tar header. */
export function parseHeader(block: Buffer): RawHeader {
  if (!isHeader(block))
    throw new MalformedError('it is damaged or not a tar archive (wrong header checksum)');
  const magic = slice(block, fields.magic).toString('latin1');
  // GNU's magic is "ustar  \0"; it keeps times where ustar has the name's prefix.
  const prefix = magic.startsWith('ustar\0') ? text(block, fields.prefix) : '';
  const name = text(block, fields.name);
  const typeFlag = String.fromCharCode(block[fields.type[0]]!);
  const device = typeFlag === '3' || typeFlag === '4';
  return {
    name: prefix === '' ? name : `${prefix}/${name}`,
    typeFlag,
    mode: number(block, fields.mode) & 0o7777,
    uid: number(block, fields.uid),
    gid: number(block, fields.gid),
    size: number(block, fields.size),
    mtime: number(block, fields.mtime),
    linkName: text(block, fields.linkName),
    deviceMajor: device ? number(block, fields.deviceMajor) : 0,
    deviceMinor: device ? number(block, fields.deviceMinor) : 0,
  };
}

import type { EntryType, TarEntry } from './entry.ts';
import { blockSize, checksum, fields } from './header.ts';
import { encodePax, type PaxRecord } from './pax.ts';

const flagOfType: Readonly<Record<Exclude<EntryType, 'other'>, string>> = {
  file: '0',
  'hard link': '1',
  symlink: '2',
  'character device': '3',
  'block device': '4',
  directory: '5',
  fifo: '6',
};

/** Largest number of an octal field of `size` bytes, one of them its closing NUL. */
const octalLimit = (size: number) => 8 ** (size - 1) - 1;

interface Header {
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

function headerBlock(header: Header): Buffer {
  const block = Buffer.alloc(blockSize);
  const string = ([offset, size]: readonly [number, number], value: string) => {
    block.write(value, offset, size, 'latin1');
  };
  const octal = ([offset, size]: readonly [number, number], value: number) => {
    const fits = value >= 0 && value <= octalLimit(size) ? value : 0;
    block.write(fits.toString(8).padStart(size - 1, '0'), offset, size - 1, 'latin1');
  };
  string(fields.name, header.name);
  octal(fields.mode, header.mode);
  octal(fields.uid, header.uid);
  octal(fields.gid, header.gid);
  octal(fields.size, header.size);
  octal(fields.mtime, header.mtime);
  string(fields.type, header.typeFlag);
  string(fields.linkName, header.linkName);
  string(fields.magic, 'ustar\x0000');
  octal(fields.deviceMajor, header.deviceMajor);
  octal(fields.deviceMinor, header.deviceMinor);
  // Six octal digits, a NUL, a blank: the field's own layout.
  block.write(`${checksum(block).toString(8).padStart(6, '0')}\0 `, fields.checksum[0], 'latin1');
  return block;
}

/** Zeros that fill up the last block of a body of `size` bytes. */
export function padding(size: number): Buffer {
  return Buffer.alloc((blockSize - (size % blockSize)) % blockSize);
}

/** Two blocks of zeros: the end of a tar stream. */
export function tarEnd(): Buffer {
  return Buffer.alloc(2 * blockSize);
}

/**
 * The header blocks of an entry: a pax extended header for what ustar cannot say (long names, large numbers, extended
 * attributes), then the ustar header. The body and its {@link padding} are the caller's.
 */
export function encodeEntry(entry: TarEntry & { type: Exclude<EntryType, 'other'> }): Buffer {
  const records: PaxRecord[] = [];
  const long = (key: string, value: string, [, size]: readonly [number, number]) => {
    if (value.length > size) records.push({ key, value: Buffer.from(value, 'latin1') });
  };
  const large = (key: string, value: number, [, size]: readonly [number, number]) => {
    if (value < 0 || value > octalLimit(size)) records.push({ key, value: Buffer.from(String(value)) });
  };
  long('path', entry.name, fields.name);
  long('linkpath', entry.linkName, fields.linkName);
  large('uid', entry.uid, fields.uid);
  large('gid', entry.gid, fields.gid);
  large('size', entry.size, fields.size);
  large('mtime', entry.mtime, fields.mtime);
  for (const [name, value] of entry.xattrs) records.push({ key: `SCHILY.xattr.${name}`, value });

  const header = headerBlock({ ...entry, typeFlag: flagOfType[entry.type] });
  if (records.length === 0) return header;
  const pax = encodePax(records);
  const paxHeader = headerBlock({
    ...entry,
    name: 'pax',
    typeFlag: 'x',
    mode: 0o644,
    uid: 0,
    gid: 0,
    mtime: 0,
    size: pax.length,
    linkName: '',
  });
  return Buffer.concat([paxHeader, pax, padding(pax.length), header]);
}

import type { Blocks } from '../../host/disk/blocks.ts';
import { requireInside } from '../../host/disk/blocks.ts';

/*
 * RFC 1952, 2.3: ten bytes of header, and behind the data a CRC-32 and the size modulo 2^32. RFC 1951, 3.2.4: a stored block is a
 * byte (the lowest bit is set in the last block), its length and the complement of that, then its bytes. Numbers are
 * little-endian.
 */
const headerBytes = 10;
const trailerBytes = 8;
const blockHeaderBytes = 5;

/**
 * What a gzip file of stored blocks holds, to be read at any place without unpacking it: the form in which this builder packs
 * bundles. Undefined for every other file.
 */
export async function openStoredGzip(file: Blocks): Promise<Blocks | undefined> {
  if (file.size < headerBytes + blockHeaderBytes + trailerBytes) return undefined;
  const header = await file.read(0, headerBytes);
  // Magic, deflate, no optional fields.
  if (header.readUInt32LE() !== 0x00088b1f) return undefined;
  // Blocks as zlib writes them hold tens of kilobytes; an index of small ones would be larger than what it tells.
  const most = 1024 + Math.ceil(file.size / 4096);
  const starts: number[] = [];
  const places: number[] = [];
  let size = 0;
  let at = headerBytes;
  for (let last = false; !last; ) {
    if (starts.length >= most || at + blockHeaderBytes + trailerBytes > file.size) return undefined;
    const block = await file.read(at, blockHeaderBytes);
    const length = block.readUInt16LE(1);
    if (block[0]! > 1 || length !== (~block.readUInt16LE(3) & 0xffff)) return undefined;
    last = block[0] === 1;
    at += blockHeaderBytes;
    if (length > 0) {
      starts.push(size);
      places.push(at);
    }
    size += length;
    at += length;
  }
  if (at + trailerBytes !== file.size) return undefined;
  const trailer = await file.read(at, trailerBytes);
  if (trailer.readUInt32LE(4) !== size % 2 ** 32) return undefined;
  return { size, read: (offset, length) => readBlocks(file, { starts, places, size }, offset, length) };
}

interface Index {
  /** Where each block starts in the content, ascending, and where its bytes lie in the file. */
  starts: readonly number[];
  places: readonly number[];
  /** Of the content, bytes. */
  size: number;
}

async function readBlocks(file: Blocks, index: Index, offset: number, length: number): Promise<Buffer> {
  const { starts, places, size } = index;
  requireInside(size, offset, length);
  const result = Buffer.allocUnsafe(length);
  if (length === 0) return result;
  const first = blockAt(starts, offset);
  const last = blockAt(starts, offset + length - 1);
  // One read, headers of blocks included: they take a ten-thousandth of it.
  const from = places[first]! + (offset - starts[first]!);
  const to = places[last]! + (offset + length - starts[last]!);
  const bytes = await file.read(from, to - from);
  let have = 0;
  for (let block = first; block <= last; block += 1) {
    const start = Math.max(offset, starts[block]!);
    const end = Math.min(offset + length, starts[block + 1] ?? size);
    const place = places[block]! + (start - starts[block]!) - from;
    have += bytes.copy(result, have, place, place + (end - start));
  }
  return result;
}

/** The block that holds a byte, by halving. */
function blockAt(starts: readonly number[], offset: number): number {
  let low = 0;
  let high = starts.length - 1;
  while (low < high) {
    const middle = Math.ceil((low + high) / 2);
    if (starts[middle]! <= offset) low = middle;
    else high = middle - 1;
  }
  return low;
}

import { ByteReader, type Bytes, MalformedError } from './bytes.ts';
import { blockSize, number } from './header.ts';
import type { PaxRecord } from './pax.ts';

/** A run of stored bytes in a file with holes. */
export interface Segment {
  offset: number;
  length: number;
}

/** A file with holes as GNU tar stores it: the body holds the segments only. */
export interface SparseMap {
  /** Size of the file with its holes, in bytes. */
  realSize: number;
  /** The file's own name, where the header carries a made-up one. */
  name?: string;
  /** Undefined in format 1.0, where the map leads the body. */
  segments?: Segment[];
}

const maximumSegments = 1_000_000;
/** Holes cost nothing in the archive but time to read back; 64 GiB is beyond any file of a real image. */
const maximumSize = 64 * 1024 ** 3;
const zeros = Buffer.alloc(256 * 1024);

function pairs(numbers: readonly number[]): Segment[] {
  if (numbers.length % 2 !== 0 || numbers.some((n) => !Number.isSafeInteger(n) || n < 0)) {
    throw new MalformedError('a map of file holes is damaged');
  }
  return Array.from({ length: numbers.length / 2 }, (_, i) => ({
    offset: numbers[2 * i]!,
    length: numbers[2 * i + 1]!,
  }));
}

/** The map of the old GNU format (type flag `S`): 4 pairs in the header, then extension blocks of 21 pairs each. */
export async function oldGnuMap(header: Buffer, reader: ByteReader): Promise<SparseMap> {
  const numbers: number[] = [];
  const take = (block: Buffer, start: number, count: number) => {
    for (let at = start; at < start + count * 24; at += 24) {
      if (block[at] === 0) return;
      numbers.push(number(block, [at, 12]), number(block, [at + 12, 12]));
    }
  };
  take(header, 386, 4);
  for (let more = header[482] !== 0; more; ) {
    const block = await reader.exactly(blockSize);
    if (block === undefined) throw new MalformedError('it ends early');
    take(block, 0, 21);
    more = block[504] !== 0;
    if (numbers.length > 2 * maximumSegments) throw new MalformedError('a map of file holes is too long');
  }
  return { realSize: number(header, [483, 12]), segments: pairs(numbers) };
}

/** The map of GNU's three pax formats (0.0, 0.1, 1.0), or undefined where the records speak of no holes. */
export function paxMap(records: readonly PaxRecord[]): SparseMap | undefined {
  const last = (key: string) => records.findLast((record) => record.key === `GNU.sparse.${key}`)?.value;
  const size = last('realsize') ?? last('size');
  if (size === undefined) return undefined;
  const realSize = Number(size.toString('latin1'));
  if (!Number.isSafeInteger(realSize) || realSize < 0)
    throw new MalformedError('a map of file holes is damaged');
  const name = last('name')?.toString('latin1');
  const known = { realSize, ...(name === undefined ? {} : { name }) };
  if (last('major')?.toString('latin1') === '1') return known;
  const list = last('map')?.toString('latin1');
  const numbers =
    list !== undefined
      ? list
          .split(',')
          .filter((word) => word !== '')
          .map(Number)
      : records
          .filter(({ key }) => key === 'GNU.sparse.offset' || key === 'GNU.sparse.numbytes')
          .map(({ value }) => Number(value.toString('latin1')));
  return { ...known, segments: pairs(numbers) };
}

/** Decimal digits of a number in a map: those of 2^64 - 1. */
const mostDigits = 20;

/** The map that leads the body in format 1.0: decimal lines, their count first, padded to whole blocks. */
async function leadingMap(body: ByteReader): Promise<{ segments: Segment[]; bytes: number }> {
  const numbers: number[] = [];
  let count: number | undefined;
  let line = '';
  let bytes = 0;
  const isWhole = () => count !== undefined && numbers.length === 2 * count;
  while (!isWhole()) {
    const block = await body.exactly(blockSize);
    if (block === undefined) throw new MalformedError('it ends early');
    bytes += blockSize;
    for (let at = 0; at < blockSize && !isWhole(); at++) {
      const byte = block[at]!;
      if (byte >= 0x30 && byte <= 0x39 && line.length < mostDigits) {
        line += String.fromCharCode(byte);
        continue;
      }
      if (byte !== 0x0a || line === '') throw new MalformedError('a map of file holes is damaged');
      if (count !== undefined) numbers.push(Number(line));
      else if (Number(line) <= maximumSegments) count = Number(line);
      else throw new MalformedError('a map of file holes is too long');
      line = '';
    }
  }
  return { segments: pairs(numbers), bytes };
}

/**
 * The file with its holes as zeros: squashfs stores blocks of zeros as holes of its own.
 * @param stored bytes of the body in the tar stream
 */
export async function* fillHoles(map: SparseMap, body: Bytes, stored: number): AsyncGenerator<Uint8Array> {
  if (map.realSize > maximumSize) throw new MalformedError('a file with holes is larger than 64 GiB');
  const reader = new ByteReader(body);
  const lead = map.segments === undefined ? await leadingMap(reader) : { segments: map.segments, bytes: 0 };
  let at = 0;
  let left = stored - lead.bytes;
  function* hole(end: number) {
    for (; at < end; at += Math.min(zeros.length, end - at)) yield zeros.subarray(0, end - at);
  }
  for (const { offset, length } of lead.segments) {
    if (offset < at || offset + length > map.realSize || length > left) {
      throw new MalformedError('a map of file holes is damaged');
    }
    yield* hole(offset);
    for (const end = offset + length; at < end; ) {
      const piece = await reader.some(end - at);
      if (piece === undefined) throw new MalformedError('it ends early');
      at += piece.length;
      left -= piece.length;
      yield piece;
    }
  }
  yield* hole(map.realSize);
}

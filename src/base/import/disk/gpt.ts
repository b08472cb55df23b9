import { crc32 } from 'node:zlib';
import { type Blocks, peekBlocks, requireInside } from '../../../host/disk/blocks.ts';
import { MalformedError } from '../../../host/tar/bytes.ts';
import type { Partition } from './partitions.ts';

/*
 * UEFI Specification 2.10, 5.3.2 (GPT header) and 5.3.3 (partition entries). Numbers are little-endian; places on the disk are
 * counted in logical blocks.
 */

/** Offsets in the header, in bytes. */
const header = {
  size: 12,
  crc: 16,
  myLba: 24,
  alternateLba: 32,
  entriesLba: 72,
  entryCount: 80,
  entrySize: 84,
  entriesCrc: 88,
} as const;

/** Offsets in a partition entry, in bytes. */
const entry = { type: 0, unique: 16, firstLba: 32, lastLba: 40, name: 56, nameEnd: 128 } as const;

const signature = 'EFI PART';
const largestTable = 1 << 20;

/** A GUID as it is written: its first three fields lie in little-endian order (UEFI, appendix A). */
export function guidText(bytes: Buffer): string {
  const hex = (part: Buffer) => part.toString('hex');
  const swapped = (start: number, end: number) => hex(Buffer.from(bytes.subarray(start, end)).reverse());
  return [
    swapped(0, 4),
    swapped(4, 6),
    swapped(6, 8),
    hex(bytes.subarray(8, 10)),
    hex(bytes.subarray(10, 16)),
  ]
    .join('-')
    .toLowerCase();
}

/** Thrown where one of the two headers or its table does not hold. */
class BadTable extends Error {}

const lba = (block: Buffer, offset: number): number => {
  const value = block.readBigUInt64LE(offset);
  if (value > 0xf_ffff_ffff_ffffn) throw new BadTable('a place beyond any disk');
  return Number(value);
};

async function tableAt(disk: Blocks, sector: number, place: number): Promise<Partition[]> {
  const block = await peekBlocks(disk, place * sector, sector);
  if (block.length < sector || block.toString('latin1', 0, 8) !== signature) throw new BadTable('no header');
  const size = block.readUInt32LE(header.size);
  if (size < 92 || size > sector) throw new BadTable('a header of the wrong size');
  const zeroed = Buffer.from(block.subarray(0, size));
  zeroed.writeUInt32LE(0, header.crc);
  if (crc32(zeroed) !== block.readUInt32LE(header.crc)) throw new BadTable('a wrong header checksum');
  if (lba(block, header.myLba) !== place) throw new BadTable('a header of another place');

  const count = block.readUInt32LE(header.entryCount);
  const each = block.readUInt32LE(header.entrySize);
  if (each < 128 || each % 8 !== 0 || count * each > largestTable)
    throw new BadTable('a table of the wrong size');
  const start = lba(block, header.entriesLba) * sector;
  if (start + count * each > disk.size) throw new BadTable('a table outside of the disk');
  const table = await disk.read(start, count * each);
  if (crc32(table) !== block.readUInt32LE(header.entriesCrc)) throw new BadTable('a wrong table checksum');

  const partitions: Partition[] = [];
  for (let i = 0; i < count; i++) {
    const one = table.subarray(i * each, (i + 1) * each);
    const type = one.subarray(entry.type, entry.type + 16);
    if (type.every((byte) => byte === 0)) continue;
    const first = lba(one, entry.firstLba);
    const last = lba(one, entry.lastLba);
    if (last < first) throw new MalformedError(`partition ${i + 1} ends before it begins`);
    const length = (last - first + 1) * sector;
    requireInside(disk.size, first * sector, length);
    partitions.push({
      number: i + 1,
      offset: first * sector,
      length,
      type: guidText(type),
      uuid: guidText(one.subarray(entry.unique, entry.unique + 16)),
      label: one.toString('utf16le', entry.name, entry.nameEnd).replace(/\0.*$/s, ''),
    });
  }
  return partitions;
}

/**
 * The partitions of a GPT, by its first header, or where that or its table is damaged by the one in the last sector.
 * @returns undefined where the disk has no GPT
 * @throws MalformedError where it has one and neither copy holds
 */
export async function readGpt(disk: Blocks, warn: (text: string) => void): Promise<Partition[] | undefined> {
  for (const sector of [512, 4096]) {
    const last = Math.floor(disk.size / sector) - 1;
    if (last < 2) continue;
    try {
      return await tableAt(disk, sector, 1);
    } catch (error) {
      if (!(error instanceof BadTable)) throw error;
      const claimed = (await signatureAt(disk, sector)) || (await signatureAt(disk, last * sector));
      if (!claimed) continue;
      try {
        const partitions = await tableAt(disk, sector, last);
        warn(`the first partition table has ${error.message}: the backup at the end of the disk was used`);
        return partitions;
      } catch (second) {
        if (!(second instanceof BadTable)) throw second;
        throw new MalformedError(
          `its partition table (GPT) is damaged: ${error.message} at the start of the disk, ${second.message} at its end`,
        );
      }
    }
  }
  return undefined;
}

async function signatureAt(disk: Blocks, offset: number): Promise<boolean> {
  return (await peekBlocks(disk, offset, 8)).toString('latin1') === signature;
}

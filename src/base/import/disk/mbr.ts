import { type Blocks, peekBlocks, requireInside } from '../../../host/disk/blocks.ts';
import { MalformedError } from '../../../host/tar/bytes.ts';
import type { Partition } from './partitions.ts';

/*
 * Master boot record: UEFI Specification 2.10, 5.2.1. Four entries of 16 bytes from byte 446; sectors of 512 bytes,
 * little-endian. Extended partitions hold a chain of such records: entry 1 is a logical partition, counted from its own
 * record; entry 2 leads to the next record, counted from the extended partition's start.
 */

const sector = 512;
const mbr = { diskId: 440, entries: 446, signature: 510 } as const;
const entry = { status: 0, type: 4, first: 8, count: 12, size: 16 } as const;
const extended = [0x05, 0x0f, 0x85];
/** Type of the entry that keeps older tools off a GPT. */
export const protective = 0xee;
/** More than any tool makes; a chain that leads back to itself ends here. */
const mostLogical = 128;

interface Entry {
  type: number;
  /** In sectors. */
  first: number;
  count: number;
}

function entriesOf(record: Buffer): Entry[] {
  return [0, 1, 2, 3].map((index) => {
    const at = mbr.entries + index * entry.size;
    return {
      type: record[at + entry.type]!,
      first: record.readUInt32LE(at + entry.first),
      count: record.readUInt32LE(at + entry.count),
    };
  });
}

/** A boot sector of a file system ends in the same two bytes, so the entries must look like entries, too. */
function isRecord(record: Buffer): boolean {
  if (record.length < sector || record.readUInt16LE(mbr.signature) !== 0xaa55) return false;
  const status = [0, 1, 2, 3].map((index) => record[mbr.entries + index * entry.size + entry.status]!);
  return status.every((byte) => byte === 0 || byte === 0x80);
}

/**
 * The partitions of an MBR, logical ones numbered from 5 as Linux does.
 * @returns undefined where the disk has no MBR, or one that only guards a GPT
 * @throws MalformedError where the chain of logical partitions is damaged
 */
export async function readMbr(disk: Blocks): Promise<Partition[] | undefined> {
  const record = await peekBlocks(disk, 0, sector);
  if (!isRecord(record)) return undefined;
  const primary = entriesOf(record);
  if (primary.every(({ type }) => type === 0)) return undefined;
  if (primary.some(({ type }) => type === protective)) return undefined;
  const diskId = record.readUInt32LE(mbr.diskId).toString(16).padStart(8, '0');
  const partitions: Partition[] = [];
  const add = (number: number, { type, first, count }: Entry) => {
    requireInside(disk.size, first * sector, count * sector);
    partitions.push({
      number,
      offset: first * sector,
      length: count * sector,
      type: type.toString(16).padStart(2, '0'),
      uuid: `${diskId}-${number.toString(16).padStart(2, '0')}`,
      label: '',
    });
  };
  for (const [index, each] of primary.entries()) {
    if (each.type === 0 || each.count === 0) continue;
    if (!extended.includes(each.type)) add(index + 1, each);
    else for (const [at, logical] of (await logicalOf(disk, each)).entries()) add(5 + at, logical);
  }
  return partitions;
}

async function logicalOf(disk: Blocks, container: Entry): Promise<Entry[]> {
  const found: Entry[] = [];
  for (let at = container.first; ; ) {
    const record = await peekBlocks(disk, at * sector, sector);
    if (!isRecord(record)) throw new MalformedError('its chain of logical partitions is damaged');
    const [logical, next] = entriesOf(record) as [Entry, Entry];
    if (logical.type !== 0 && logical.count > 0) found.push({ ...logical, first: at + logical.first });
    if (next.type === 0 || next.count === 0) return found;
    if (found.length >= mostLogical) throw new MalformedError('its chain of logical partitions has no end');
    at = container.first + next.first;
  }
}

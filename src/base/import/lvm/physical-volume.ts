import { lvmCrc } from '../../../host/crc.ts';
import { type Blocks, peekBlocks } from '../../../host/disk/blocks.ts';
import { MalformedError } from '../../../host/tar/bytes.ts';

/*
 * LVM2's layout on disk: lib/format_text/layout.h and lib/label/label.h of lvm2. Numbers are little-endian.
 */

/** Offsets in the label's sector, in bytes. */
const label = { crc: 16, crcStart: 20, contents: 20, type: 24 } as const;
/** Offsets in the header of a metadata area, in bytes. */
const area = { crc: 0, magic: 4, version: 20, start: 24, size: 32, locations: 40 } as const;
/** Offsets in the place of a copy of the text, in bytes. */
const location = { offset: 0, size: 8, crc: 16, flags: 20 } as const;

const sector = 512;
const areaMagic = ' LVM2 x[5A%r0N*>';
const largestText = 16 * 1024 * 1024;

/** A physical volume and the texts of its volume group that it keeps. */
export interface PhysicalVolume {
  blocks: Blocks;
  /** 32 letters and digits, without dashes. */
  id: string;
  /** Newest text of each metadata area that holds one; none where all copies are on other disks. */
  texts: string[];
}

/**
 * Reads an LVM2 physical volume.
 * @throws MalformedError where its label or all its copies of the text are damaged
 */
export async function readPhysicalVolume(blocks: Blocks): Promise<PhysicalVolume> {
  const start = await peekBlocks(blocks, 0, 4 * sector);
  const at = [0, 1, 2, 3].map((index) => index * sector).find((offset) => isLabel(start, offset));
  if (at === undefined) throw new MalformedError('the label of its LVM physical volume is damaged');
  const block = start.subarray(at, at + sector);
  const header = block.readUInt32LE(label.contents);
  if (header > sector - 56) throw new MalformedError('the label of its LVM physical volume is damaged');
  const id = block.toString('latin1', header, header + 32);
  // Two lists of areas, each closed by an empty one: data, then metadata.
  let cursor = header + 40;
  const list = () => {
    const found: { offset: number; size: number }[] = [];
    for (; cursor + 16 <= sector; cursor += 16) {
      const offset = Number(block.readBigUInt64LE(cursor));
      if (offset === 0) break;
      found.push({ offset, size: Number(block.readBigUInt64LE(cursor + 8)) });
    }
    cursor += 16;
    return found;
  };
  list();
  const texts: string[] = [];
  const faults: unknown[] = [];
  for (const { offset } of list()) {
    try {
      const text = await readText(blocks, offset);
      if (text !== undefined) texts.push(text);
    } catch (error) {
      if (!(error instanceof MalformedError)) throw error;
      faults.push(error);
    }
  }
  if (texts.length === 0 && faults.length > 0) throw faults[0];
  return { blocks, id, texts };
}

function isLabel(start: Buffer, offset: number): boolean {
  if (start.length < offset + sector) return false;
  const block = start.subarray(offset, offset + sector);
  if (block.toString('latin1', 0, 8) !== 'LABELONE') return false;
  if (block.toString('latin1', label.type, label.type + 8) !== 'LVM2 001') return false;
  return lvmCrc(block.subarray(label.crcStart)) === block.readUInt32LE(label.crc);
}

/** The text of a metadata area: a ring after the header's sector, so that a text may begin at its end and go on at its start. */
async function readText(blocks: Blocks, offset: number): Promise<string | undefined> {
  const damaged = (what: string) => new MalformedError(`the metadata of its LVM physical volume has ${what}`);
  const header = await blocks.read(offset, sector);
  if (header.toString('latin1', area.magic, area.magic + 16) !== areaMagic) throw damaged('no header');
  if (lvmCrc(header.subarray(area.magic)) !== header.readUInt32LE(area.crc))
    throw damaged('a wrong header checksum');
  if (header.readUInt32LE(area.version) !== 1) throw damaged('an unknown version');
  const start = Number(header.readBigUInt64LE(area.start));
  const size = Number(header.readBigUInt64LE(area.size));
  const place = header.subarray(area.locations);
  const from = Number(place.readBigUInt64LE(location.offset));
  const length = Number(place.readBigUInt64LE(location.size));
  // Bit 0: the area is ignored.
  if (from === 0 || length === 0 || (place.readUInt32LE(location.flags) & 1) !== 0) return undefined;
  if (from < sector || from >= size || length > Math.min(size - sector, largestText))
    throw damaged('a text in an odd place');
  const first = Math.min(length, size - from);
  const text = Buffer.concat([
    await blocks.read(start + from, first),
    await blocks.read(start + sector, length - first),
  ]);
  if (lvmCrc(text) !== place.readUInt32LE(location.crc)) throw damaged('a wrong text checksum');
  return text.toString('utf8').replace(/\0+$/, '');
}

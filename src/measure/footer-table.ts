import { hex, MeasurementError } from './error.ts';
import { guidSize, readGuid } from './guid.ts';

/** Footer table entries that matter here; edk2 OvmfPkg/ResetVector/Ia16/ResetVectorVtf0.asm writes them. */
export const footerGuids = {
  /** u32 address at which application processors start. */
  sevEsResetBlock: '00f771de-1a7e-4fcb-890e-68c77e2fb44e',
  /** u32 base GPA, u32 size; base 0 says that the firmware checks no kernel hashes. */
  sevHashTable: '7255371f-3a3b-4b04-927b-1da6efa8d454',
  /** u32 distance from the end of the file to the SEV metadata. */
  sevMetadata: 'dc886566-984a-4798-a75e-5585a7bf67cc',
} as const;

const footerGuid = '96b582de-1fb2-45f7-baea-a366c55a082d';

/** The table ends this many bytes before the end of the file, below the reset vector. */
const footerToEnd = 32;
/** Header of an entry, which follows its data: u16 length (data and header), GUID. The footer has the same form. */
const headerSize = 2 + guidSize;

/** One entry of the footer table. */
export interface FooterEntry {
  /** File offset of the data. */
  offset: number;
  data: Buffer;
}

/**
 * The GUIDed table at the end of an OVMF image, by lower-case GUID; empty where the image has none. It is
 * read from its footer downwards: entries are `data | u16 length | GUID`.
 * @throws MeasurementError for lengths that leave the table and for a GUID that occurs twice.
 */
export function readFooterTable(firmware: Buffer): Map<string, FooterEntry> {
  const entries = new Map<string, FooterEntry>();
  const footer = firmware.length - footerToEnd - headerSize;
  if (footer < 0) {
    throw new MeasurementError(
      `cannot read firmware: ${firmware.length} bytes end before the footer table, expected at least ${footerToEnd + headerSize}`,
      { offset: 0 },
    );
  }
  if (readGuid(firmware, footer + 2) !== footerGuid) return entries;

  const total = firmware.readUInt16LE(footer);
  const start = footer + headerSize - total;
  if (total < headerSize || start < 0) {
    throw new MeasurementError(
      `cannot read firmware: the footer at offset ${hex(footer)} gives its table ${total} bytes, expected ${headerSize} to ${footer + headerSize}`,
      { offset: footer },
    );
  }

  let end = footer;
  while (end - start >= headerSize) {
    const header = end - headerSize;
    const length = firmware.readUInt16LE(header);
    const guid = readGuid(firmware, header + 2);
    if (length < headerSize || length > end - start) {
      throw new MeasurementError(
        `cannot read firmware: the footer table entry at offset ${hex(header)} has length ${length}, expected ${headerSize} to ${end - start}`,
        { offset: header },
      );
    }
    if (entries.has(guid)) {
      // Readers disagree on which of the two counts.
      throw new MeasurementError(
        `cannot read firmware: the footer table entry at offset ${hex(header)} is the second with GUID ${guid}, expected one`,
        { offset: header },
      );
    }
    entries.set(guid, { offset: end - length, data: firmware.subarray(end - length, header) });
    end -= length;
  }
  return entries;
}

/**
 * The little-endian u32 words of a footer table entry, or undefined where the table lacks it.
 * @throws MeasurementError where the entry holds another number of bytes.
 */
export function entryWords(
  entries: ReadonlyMap<string, FooterEntry>,
  guid: string,
  count: number,
): number[] | undefined {
  const entry = entries.get(guid);
  if (entry === undefined) return undefined;
  if (entry.data.length !== count * 4) {
    throw new MeasurementError(
      `cannot read firmware: footer table entry ${guid} at offset ${hex(entry.offset)} has ${entry.data.length} bytes of data, expected ${count * 4}`,
      { offset: entry.offset },
    );
  }
  return Array.from({ length: count }, (_, index) => entry.data.readUInt32LE(index * 4));
}

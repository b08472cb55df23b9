import { hex, MeasurementError } from './error.ts';
import { pageSize } from './page.ts';

/** Section types of the SEV metadata; edk2 OvmfPkg/ResetVector/X64/OvmfSevMetadata.asm. */
export const sectionTypes = {
  SNP_SEC_MEM: 1,
  SNP_SECRETS: 2,
  CPUID: 3,
  SNP_SVSM_CAA: 4,
  SNP_KERNEL_HASHES: 0x10,
} as const;

export type SectionType = keyof typeof sectionTypes;

/** Guest memory that the host must prepare before launch, in the order it is measured. */
export interface MetadataSection {
  /** Guest physical address, a multiple of 4096. */
  gpa: number;
  /** Bytes, a multiple of 4096. */
  size: number;
  type: SectionType;
}

/** Header: "ASEV", u32 length of header and items, u32 version, u32 number of items. */
const header = { signature: 0, length: 4, version: 8, count: 12, size: 16 } as const;
/** Item: u32 GPA, u32 size, u32 type. */
const item = { gpa: 0, length: 4, type: 8, size: 12 } as const;

/** Real firmware has seven sections and about 200 KiB; the limits keep the time to measure bounded. */
const maxSections = 128;
const maxTotalSize = 64 * 1024 * 1024;

/** These hold one structure each, and tools disagree on how to measure more than one page of them. */
const onePage: ReadonlySet<SectionType> = new Set(['SNP_SECRETS', 'CPUID', 'SNP_KERNEL_HASHES']);

const typeNames = new Map<number, SectionType>(
  Object.entries(sectionTypes).map(([name, number]) => [number, name as SectionType]),
);

/**
 * The SEV metadata sections, in file order.
 * @param distance bytes from the end of the file to the metadata header
 * @throws MeasurementError for anything that two readers could measure differently.
 */
export function readSevMetadata(firmware: Buffer, distance: number): MetadataSection[] {
  const start = firmware.length - distance;
  const refuse = (offset: number, cause: string): never => {
    throw new MeasurementError(`cannot read firmware: ${cause}`, { offset });
  };
  if (start < 0 || distance < header.size) {
    refuse(
      firmware.length,
      `the SEV metadata is said to lie ${distance} bytes before the end, expected ${header.size} to ${firmware.length}`,
    );
  }
  const at = `SEV metadata at offset ${hex(start)}`;
  const signature = firmware.toString('latin1', start, start + 4);
  if (signature !== 'ASEV') refuse(start, `${at} begins with ${JSON.stringify(signature)}, expected "ASEV"`);
  const version = firmware.readUInt32LE(start + header.version);
  if (version !== 1) refuse(start + header.version, `${at} has version ${version}, expected 1`);
  const count = firmware.readUInt32LE(start + header.count);
  if (count > maxSections) {
    refuse(start + header.count, `${at} lists ${count} sections, expected at most ${maxSections}`);
  }
  const length = firmware.readUInt32LE(start + header.length);
  const expected = header.size + count * item.size;
  if (length !== expected || length > distance) {
    refuse(
      start + header.length,
      `${at} has length ${length}, expected ${expected} for ${count} sections and at most ${distance} before the end of the file`,
    );
  }

  const sections = Array.from({ length: count }, (_, index) =>
    readItem(firmware, start + header.size + index * item.size),
  );
  checkTogether(sections, firmware.length, start);
  return sections;
}

function readItem(firmware: Buffer, offset: number): MetadataSection {
  const gpa = firmware.readUInt32LE(offset + item.gpa);
  const size = firmware.readUInt32LE(offset + item.length);
  const number = firmware.readUInt32LE(offset + item.type);
  const type = typeNames.get(number);
  const refuse = (cause: string): never => {
    throw new MeasurementError(
      `cannot read firmware: the metadata section at offset ${hex(offset)} ${cause}`,
      {
        offset,
      },
    );
  };
  if (type === undefined) {
    return refuse(`has type ${hex(number)}, expected one of ${[...typeNames.keys()].map(hex).join(', ')}`);
  }
  if (gpa % pageSize !== 0 || size % pageSize !== 0) {
    refuse(`(${type}) covers ${hex(gpa)}+${hex(size)}, expected multiples of ${pageSize}`);
  }
  if (onePage.has(type) && size !== pageSize) {
    refuse(`(${type}) has size ${hex(size)}, expected ${hex(pageSize)}`);
  }
  return { gpa, size, type };
}

/** Refuses overlaps (with each other and with the firmware below 4 GiB), a second hash page, absurd sizes. */
function checkTogether(sections: readonly MetadataSection[], firmwareSize: number, offset: number): void {
  const refuse = (cause: string): never => {
    throw new MeasurementError(`cannot read firmware: SEV metadata at offset ${hex(offset)} ${cause}`, {
      offset,
    });
  };
  const total = sections.reduce((sum, { size }) => sum + size, 0);
  if (total > maxTotalSize) refuse(`covers ${total} bytes of memory, expected at most ${maxTotalSize}`);
  const hashPages = sections.filter(({ type }) => type === 'SNP_KERNEL_HASHES').length;
  if (hashPages > 1) refuse(`has ${hashPages} SNP_KERNEL_HASHES sections, expected at most one`);

  const ranges = sections.filter(({ size }) => size > 0).sort((a, b) => a.gpa - b.gpa);
  let end = 0;
  for (const { gpa, size, type } of ranges) {
    if (gpa < end) refuse(`has a ${type} section at ${hex(gpa)} that overlaps one ending at ${hex(end)}`);
    end = gpa + size;
  }
  const firmwareBase = 2 ** 32 - firmwareSize;
  if (end > firmwareBase) {
    refuse(`has a section ending at ${hex(end)}, expected all below the firmware at ${hex(firmwareBase)}`);
  }
}

import { hash } from 'node:crypto';
import { hex, MeasurementError } from './error.ts';
import { entryWords, type FooterEntry, footerGuids, readFooterTable } from './footer-table.ts';
import { pageSize } from './page.ts';
import { RegularFile } from './regular-file.ts';
import { type MetadataSection, readSevMetadata } from './sev-metadata.ts';

/** An OVMF image and what its own tables say about the launch. */
export interface Firmware {
  bytes: Buffer;
  size: number;
  /** SHA-256 of the file, lower-case hex; computed when it is first asked for. */
  readonly sha256: string;
  /** Guest physical address of the first byte: the image ends at 4 GiB. */
  baseAddress: number;
  /** The footer table by lower-case GUID. */
  entries: ReadonlyMap<string, FooterEntry>;
  /** SEV metadata in file order, which is the order of measurement. */
  sections: readonly MetadataSection[];
  /** Where the firmware looks for the kernel hash table; undefined where it checks none. */
  hashTableArea: { base: number; size: number } | undefined;
  /** Where application processors start; undefined without a SEV-ES reset block. */
  resetAddress: number | undefined;
}

export interface FirmwareOptions {
  /**
   * `qemu` (the default) also refuses what QEMU would not launch under SNP or what could not verify a
   * kernel: see {@link parseFirmware}. `any` keeps to what every reader of the tables needs.
   */
  target?: 'qemu' | 'any';
}

/** QEMU's `-bios` maps whole 64 KiB blocks. */
const qemuBlock = 65_536;
/** Below 4 GiB - 16 MiB lie the interrupt controllers, so no image can be larger. */
const maxSize = 16 * 1024 * 1024;

/**
 * Reads the footer table and the SEV metadata of an OVMF image.
 *
 * Always refused: a size that is no multiple of 4096, absurd lengths, unknown or overlapping sections,
 * duplicates. For `qemu` also: a size that is no multiple of 64 KiB, missing SEV metadata or reset block,
 * a hash table outside of the page that is measured for it.
 * @throws MeasurementError naming the offset and what was expected there.
 */
export function parseFirmware(bytes: Buffer, options: FirmwareOptions = {}): Firmware {
  if (bytes.length === 0 || bytes.length > maxSize || bytes.length % pageSize !== 0) {
    throw new MeasurementError(
      `cannot read firmware: its size is ${bytes.length} bytes, expected a multiple of ${pageSize} up to ${maxSize}`,
      { offset: 0 },
    );
  }
  const entries = readFooterTable(bytes);
  const metadata = entryWords(entries, footerGuids.sevMetadata, 1)?.[0];
  const hashTable = entryWords(entries, footerGuids.sevHashTable, 2);
  let sha256: string | undefined;
  const firmware: Firmware = {
    bytes,
    size: bytes.length,
    // A launch digest needs it not, and it costs a third of what the digest does.
    get sha256() {
      sha256 ??= hash('sha256', bytes, 'hex');
      return sha256;
    },
    baseAddress: 2 ** 32 - bytes.length,
    entries,
    sections: metadata === undefined ? [] : readSevMetadata(bytes, metadata),
    hashTableArea: hashTable?.[0] ? { base: hashTable[0], size: hashTable[1]! } : undefined,
    resetAddress: entryWords(entries, footerGuids.sevEsResetBlock, 1)?.[0],
  };
  if (options.target !== 'any') refuseUnfitForQemu(firmware);
  return firmware;
}

function refuseUnfitForQemu({ size, entries, sections, hashTableArea, resetAddress }: Firmware): void {
  const refuse = (cause: string, offset = size): never => {
    throw new MeasurementError(`cannot use firmware with QEMU: ${cause}`, { offset });
  };
  if (size % qemuBlock !== 0) {
    refuse(`its size is ${size} bytes, expected a multiple of ${qemuBlock} (not a CODE or VARS part)`);
  }
  if (!entries.has(footerGuids.sevMetadata)) {
    refuse(`its footer table has no SEV metadata entry, expected GUID ${footerGuids.sevMetadata}`);
  }
  if (resetAddress === undefined) {
    refuse(`its footer table has no SEV-ES reset block, expected GUID ${footerGuids.sevEsResetBlock}`);
  }
  const page = sections.find(({ type }) => type === 'SNP_KERNEL_HASHES');
  if (hashTableArea === undefined || page === undefined) return;
  // QEMU would place the table by the low 12 bits alone, where this firmware never looks.
  if (hashTableArea.base < page.gpa || hashTableArea.base >= page.gpa + page.size) {
    refuse(
      `it looks for kernel hashes at ${hex(hashTableArea.base)}, expected an address in the measured page at ${hex(page.gpa)}`,
      entries.get(footerGuids.sevHashTable)?.offset,
    );
  }
}

/**
 * {@link parseFirmware} on a file. The size is checked before anything is read.
 * @throws MeasurementError naming the file, also where it cannot be read.
 */
export async function readFirmware(path: string, options: FirmwareOptions = {}): Promise<Firmware> {
  let bytes: Buffer;
  try {
    using file = new RegularFile(path);
    if (file.size > maxSize) throw new Error(`it has ${file.size} bytes, expected at most ${maxSize}`);
    bytes = file.readWhole();
  } catch (cause) {
    throw new MeasurementError(`cannot read firmware ${path}: ${(cause as Error).message}`, { cause });
  }
  try {
    return parseFirmware(bytes, options);
  } catch (error) {
    if (!(error instanceof MeasurementError) || error.offset === undefined) throw error;
    const message = error.message.replace(/^cannot (\w+) firmware/, `$& ${path.replaceAll('$', '$$$$')}`);
    throw new MeasurementError(message, { offset: error.offset });
  }
}

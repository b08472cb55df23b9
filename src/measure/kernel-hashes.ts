import { hash } from 'node:crypto';
import { hex, MeasurementError } from './error.ts';
import type { Firmware } from './firmware.ts';
import { guidBytes, guidSize } from './guid.ts';
import { pageSize } from './page.ts';

/** SHA-256 of the three blobs of a direct boot, 32 bytes each. */
export interface BlobHashes {
  kernel: Buffer;
  initrd: Buffer;
  commandLine: Buffer;
}

/** SHA-256 of nothing: QEMU's hash for no initrd, the same as for an empty one. */
export const noInitrdHash: Buffer = hash('sha256', '', 'buffer');

/** Bytes in the hash table, padding included. */
export const hashTableSize = 176;

/**
 * The table that QEMU builds for kernel-hashes=on (target/i386/sev.c, PaddedSevHashTable): GUID, u16
 * length, then one entry per blob of GUID, u16 length, SHA-256; zero padding to a multiple of 16.
 */
const tableGuid = guidBytes('9438d606-4f22-4cc9-b479-a793d411fd21');
const tableLength = 168;
const entryLength = guidSize + 2 + 32;
const entries = [
  { offset: 18, blob: 'commandLine', guid: guidBytes('97d02dd8-bd20-4c94-aa78-e7714d36ab2a') },
  { offset: 68, blob: 'initrd', guid: guidBytes('44baf731-3a2f-4bd7-9af1-41e29169781d') },
  { offset: 118, blob: 'kernel', guid: guidBytes('4de79437-abd2-427f-b835-d5b172d2045b') },
] as const;

/**
 * SHA-256 of a kernel command line as QEMU hands it to the firmware: its UTF-8 bytes and one NUL, nothing
 * trimmed. No command line and an empty one are alike.
 * @throws MeasurementError for text that cannot pass through unchanged (NUL, half a surrogate pair).
 */
export function hashCommandLine(commandLine = ''): Buffer {
  return hash('sha256', commandLineBytes(commandLine), 'buffer');
}

/** The bytes that {@link hashCommandLine} hashes, NUL included; the boot blob `etc/boot/cmdline`. */
export function commandLineBytes(commandLine: string): Buffer {
  const nul = commandLine.indexOf('\0');
  if (nul !== -1) {
    throw new MeasurementError(
      `cannot measure command line: it has a NUL at character ${nul}, expected text`,
    );
  }
  if (!commandLine.isWellFormed()) {
    throw new MeasurementError(
      'cannot measure command line: it has half a surrogate pair, expected Unicode text',
    );
  }
  return Buffer.from(`${commandLine}\0`, 'utf8');
}

/**
 * The 176-byte hash table. A boot without SEV can be made to check the same hashes by loading it at
 * {@link hashTableAddress}.
 */
export function kernelHashTable(hashes: BlobHashes): Buffer {
  const table = Buffer.alloc(hashTableSize);
  tableGuid.copy(table);
  table.writeUInt16LE(tableLength, guidSize);
  for (const { offset, blob, guid } of entries) {
    if (hashes[blob].length !== 32) {
      throw new MeasurementError(
        `cannot build hash table: the ${blob} hash has ${hashes[blob].length} bytes, expected 32 of SHA-256`,
      );
    }
    guid.copy(table, offset);
    table.writeUInt16LE(entryLength, offset + guidSize);
    hashes[blob].copy(table, offset + guidSize + 2);
  }
  return table;
}

/**
 * Guest physical address of the hash table.
 * @throws MeasurementError where the firmware checks no kernel hashes or has no room for the table.
 */
export function hashTableAddress({ hashTableArea }: Pick<Firmware, 'hashTableArea'>): number {
  if (hashTableArea === undefined) {
    throw new MeasurementError(
      'cannot measure kernel: the firmware has no kernel hash table area, expected an AmdSev build',
    );
  }
  const { base, size } = hashTableArea;
  if (size < hashTableSize || (base % pageSize) + hashTableSize > pageSize) {
    throw new MeasurementError(
      `cannot measure kernel: the firmware's hash table area is ${hex(base)}+${hex(size)}, expected ${hashTableSize} bytes within one page`,
    );
  }
  return base;
}

/**
 * The page measured for an SNP_KERNEL_HASHES section: zero but for the table. Only the low 12 bits of the
 * table's address count; the page's own address comes from the section.
 * @throws MeasurementError as {@link hashTableAddress}.
 */
export function kernelHashPage(firmware: Pick<Firmware, 'hashTableArea'>, hashes: BlobHashes): Buffer {
  const page = Buffer.alloc(pageSize);
  kernelHashTable(hashes).copy(page, hashTableAddress(firmware) % pageSize);
  return page;
}

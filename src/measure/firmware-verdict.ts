import { guidBytes, guidSize } from './guid.ts';

/**
 * - `sound`: starts only what its launch digest covers.
 * - `weak`: can start more than its launch digest covers.
 * - `unknown`: nothing is known about it.
 */
export type Verdict = 'sound' | 'weak' | 'unknown';

export interface FirmwareVerdict {
  verdict: Verdict;
  /** One sentence for the admin, no full stop. */
  reason: string;
  /** Package and version, for firmware in the table. */
  version?: string;
}

const weakReason = 'it can start a boot blob that the kernel hash table does not cover';

/**
 * Firmware that somebody looked at, by SHA-256 of the file (lower-case hex). A new `sound` row needs a
 * build whose verifier was seen to stop at a changed blob and at an extra one.
 */
export const knownFirmware: Readonly<Record<string, Required<FirmwareVerdict>>> = {
  '3e4fd0b3fe3b2dbe481c3d9e99418a034174f26cbe1f55aa212b0f18c12d2d6f': {
    verdict: 'weak',
    reason: weakReason,
    version: 'Debian ovmf-amdsev 2026.08+ds-2',
  },
  // Built three times, as root with two processors and by an ordinary account in a user namespace with one: the same bytes.
  aae5e39c68bb1b555c92d30866b9c446158b89fb9f1618d6faa7077224666834: {
    verdict: 'sound',
    reason: 'it verifies every boot blob and starts nothing but the measured kernel',
    version: 'edk2 2025.02-8+deb13u1 by `cvm base firmware build`',
  },
};

/** Both occur in builds that look for a further boot blob. */
const shimName = Buffer.from('shim', 'utf16le');
const blobFolder = Buffer.from('etc/boot/', 'latin1');

/**
 * Whether a launch digest of this firmware proves what it seems to.
 * @param sha256 of the file, hex
 * @param decompressedVolume what {@link lzmaStreams} unpack to, one after another; undefined where that
 *   was not done
 */
export function judgeFirmware(
  sha256: string,
  decompressedVolume: Buffer | undefined,
  known: Readonly<Record<string, FirmwareVerdict>> = knownFirmware,
): FirmwareVerdict {
  const digest = sha256.toLowerCase();
  if (Object.hasOwn(known, digest)) return { ...known[digest]! };
  if (decompressedVolume?.includes(shimName) && decompressedVolume.includes(blobFolder)) {
    return { verdict: 'weak', reason: weakReason };
  }
  return { verdict: 'unknown', reason: 'its SHA-256 is not in the table of known firmware' };
}

const lzmaGuid = guidBytes('ee4e5898-3914-4259-9d6e-dc7bd79403cf');

/**
 * EFI_SECTION_GUID_DEFINED (UEFI Platform Initialization, volume 3): u24 size, u8 type, GUID, u16
 * offset of the data, u16 attributes. A size of 0xffffff says that a u32 size follows the type.
 */
const section = { type: 3, extendedSize: 4, guidDefined: 0x02, sizeFollows: 0xffffff } as const;
/** LZMA-alone header: properties, u32 dictionary size, u64 unpacked size. */
const lzmaHeaderSize = 13;

/**
 * The LZMA-compressed sections of a firmware image, each as a raw LZMA-alone stream for
 * `xz --format=lzma -dc`. Empty where there is none.
 */
export function lzmaStreams(firmware: Buffer): Buffer[] {
  const streams: Buffer[] = [];
  let guid = firmware.indexOf(lzmaGuid);
  while (guid !== -1) {
    const stream = streamAt(firmware, guid);
    if (stream !== undefined) streams.push(stream);
    guid = firmware.indexOf(lzmaGuid, guid + guidSize);
  }
  return streams;
}

/** Undefined where the GUID is data (the decompressor names it too) and not the header of a section. */
function streamAt(firmware: Buffer, guid: number): Buffer | undefined {
  for (const headerSize of [4, 8]) {
    const start = guid - headerSize;
    const fields = guid + guidSize;
    if (start < 0 || fields + 4 > firmware.length) continue;
    if (firmware[start + section.type] !== section.guidDefined) continue;
    const short = firmware.readUIntLE(start, 3);
    if ((short === section.sizeFollows) !== (headerSize === 8)) continue;
    const size = headerSize === 8 ? firmware.readUInt32LE(start + section.extendedSize) : short;
    const data = firmware.readUInt16LE(fields);
    if (data < headerSize + guidSize + 4 || size < data + lzmaHeaderSize || start + size > firmware.length)
      continue;
    return firmware.subarray(start + data, start + size);
  }
  return undefined;
}

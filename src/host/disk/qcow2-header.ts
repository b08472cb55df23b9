import { MalformedError } from '../tar/bytes.ts';

/** What the fixed part of a qcow2 header says. */
export interface Qcow2Header {
  version: 2 | 3;
  /** Size of the drive that the file describes, bytes. */
  virtualBytes: number;
  clusterBytes: number;
  /** Where the first table lies in the file, bytes, and how many entries of 8 bytes it has. */
  l1Table: number;
  l1Entries: number;
  /** Internal snapshots that it holds. */
  snapshots: number;
  /** Undefined where it names no backing file. */
  backingName: BackingName | undefined;
}

/** Where in the file the name of its backing file stands, and how long it is, bytes: both as the file claims. */
export interface BackingName {
  offset: bigint;
  bytes: number;
}

/** Bytes of the file that {@link parseQcow2Header} takes; files of version 2 may have fewer. */
export const qcow2HeaderBytes = 104;

/**
 * Fields of the header, all big-endian: offset in bytes.
 * Source: QEMU's docs/interop/qcow2.txt, "Header".
 */
const at = {
  magic: 0,
  version: 4,
  backingFileOffset: 8,
  backingFileSize: 16,
  clusterBits: 20,
  size: 24,
  encryptionMethod: 32,
  l1Entries: 36,
  l1Table: 40,
  snapshots: 60,
  incompatibleFeatures: 72,
} as const;

const magic = 0x514649fb; // "QFI\xfb"
/** Incompatible features that a drive of ours may carry: dirty (after a crash of QEMU) and compression type. */
const acceptedFeatures = 0b01001n;
const externalDataFile = 0b00100n;
/** Largest first table, entries: 32 MiB, QEMU's own bound (QCOW_MAX_L1_SIZE). */
const mostEntries = 2 ** 22;

/** Whether a file that begins so is a qcow2 file, of whatever version. */
export function isQcow2(head: Buffer): boolean {
  return head.length >= 72 && head.readUInt32BE(at.magic) === magic;
}

/**
 * Reads the header of a drive that holds its own data. A backing file is told, not refused: what is done with it is the
 * caller's matter.
 * @throws MalformedError, completing *cannot …: it …*, where it is no such drive
 */
export function parseQcow2Header(head: Buffer): Qcow2Header {
  if (!isQcow2(head)) throw new MalformedError('it is not a qcow2 drive');
  const version = head.readUInt32BE(at.version);
  if (version !== 2 && version !== 3) throw new MalformedError(`its qcow2 version is ${version}, not 2 or 3`);
  if (version === 3 && head.length < qcow2HeaderBytes)
    throw new MalformedError('its qcow2 header is cut off');
  if (head.readUInt32BE(at.encryptionMethod) !== 0) throw new MalformedError('its qcow2 layer is encrypted');
  const features = version === 3 ? head.readBigUInt64BE(at.incompatibleFeatures) : 0n;
  if ((features & externalDataFile) !== 0n) throw new MalformedError('it names an external data file');
  if ((features & ~acceptedFeatures) !== 0n)
    throw new MalformedError(`it has qcow2 features 0x${features.toString(16)}`);
  const clusterBits = head.readUInt32BE(at.clusterBits);
  if (clusterBits < 9 || clusterBits > 21)
    throw new MalformedError(`its clusters are 2^${clusterBits} bytes`);
  const virtualBytes = field8(head, at.size);
  const clusterBytes = 2 ** clusterBits;
  const l1Entries = head.readUInt32BE(at.l1Entries);
  const needed = Math.ceil(virtualBytes / (clusterBytes * (clusterBytes / 8)));
  if (l1Entries < needed || l1Entries > mostEntries)
    throw new MalformedError(`its first table has ${l1Entries} entries, and ${needed} are needed`);
  return {
    version,
    virtualBytes,
    clusterBytes,
    l1Table: field8(head, at.l1Table),
    l1Entries,
    snapshots: head.readUInt32BE(at.snapshots),
    backingName: qcow2BackingName(head),
  };
}

/** Where a file that {@link isQcow2} says it names a backing file. */
export function qcow2BackingName(head: Buffer): BackingName | undefined {
  const offset = head.readBigUInt64BE(at.backingFileOffset);
  return offset === 0n ? undefined : { offset, bytes: head.readUInt32BE(at.backingFileSize) };
}

function field8(head: Buffer, offset: number): number {
  const value = head.readBigUInt64BE(offset);
  if (value > BigInt(Number.MAX_SAFE_INTEGER)) throw new MalformedError(`it claims ${value} bytes`);
  return Number(value);
}

import { MalformedError } from '../../host/tar/bytes.ts';

/*
 * Layouts: QEMU's docs/interop/qcow2.txt, "Header" and "Cluster mapping". Numbers are big-endian.
 */

/** Offsets in the header, in bytes. */
const at = {
  magic: 0,
  version: 4,
  backingFile: 8,
  clusterBits: 20,
  size: 24,
  encryption: 32,
  l1Entries: 36,
  l1Table: 40,
  snapshots: 60,
  incompatible: 72,
} as const;

const magic = 0x514649fb; // "QFI\xfb"
/** Dirty after a crash of QEMU, and compression type: neither changes how an uncompressed cluster is found. */
const accepted = 0b01001n;
/** Bits 9 to 55 of an entry: where a table or cluster lies in the file. */
const offsetMask = 0x00ff_ffff_ffff_fe00n;

/** The header as far as a reader needs it. */
export interface Header {
  /** Size of the drive, bytes. */
  virtualBytes: number;
  clusterBytes: number;
  /** Where the first table lies in the file, bytes, and how many entries it has. */
  l1Table: number;
  l1Entries: number;
  /** Internal snapshots. */
  snapshots: number;
}

/** Bytes of the header that {@link parseHeader} needs. */
export const headerBytes = 104;
/** Largest first table, entries: 32 MiB, QEMU's own bound (QCOW_MAX_L1_SIZE). */
const mostEntries = 2 ** 22;

/** @throws MalformedError for what is no drive of its own: backing file, external data, encryption, unknown features. */
export function parseHeader(head: Buffer): Header {
  if (head.length < 72 || head.readUInt32BE(at.magic) !== magic)
    throw new MalformedError('it is not a qcow2 drive');
  const version = head.readUInt32BE(at.version);
  if (version !== 2 && version !== 3) throw new MalformedError(`its qcow2 version is ${version}`);
  if (head.readBigUInt64BE(at.backingFile) !== 0n) throw new MalformedError('it names a backing file');
  if (head.readUInt32BE(at.encryption) !== 0) throw new MalformedError('its qcow2 layer is encrypted');
  const features = version === 3 ? head.readBigUInt64BE(at.incompatible) : 0n;
  if ((features & ~accepted) !== 0n)
    throw new MalformedError(`it has qcow2 features 0x${features.toString(16)}`);
  const clusterBits = head.readUInt32BE(at.clusterBits);
  if (clusterBits < 9 || clusterBits > 21)
    throw new MalformedError(`its clusters are 2^${clusterBits} bytes`);
  const virtualBytes = safe(head.readBigUInt64BE(at.size));
  const l1Entries = head.readUInt32BE(at.l1Entries);
  const clusterBytes = 2 ** clusterBits;
  const needed = Math.ceil(virtualBytes / (clusterBytes * (clusterBytes / 8)));
  if (l1Entries < needed || l1Entries > mostEntries)
    throw new MalformedError(`its first table has ${l1Entries} entries, and ${needed} are needed`);
  return {
    virtualBytes,
    clusterBytes,
    l1Table: safe(head.readBigUInt64BE(at.l1Table)),
    l1Entries,
    snapshots: head.readUInt32BE(at.snapshots),
  };
}

/** Where a second table lies, bytes; undefined where none was allocated. */
export function secondTable(entry: bigint): number | undefined {
  const offset = Number(entry & offsetMask);
  return offset === 0 ? undefined : offset;
}

/**
 * Where a cluster lies, bytes; undefined where it reads as zeros.
 * @throws MalformedError where it is compressed: no drive that a VM uses is
 */
export function clusterOffset(entry: bigint): number | undefined {
  if ((entry & (1n << 62n)) !== 0n) throw new MalformedError('it has compressed clusters');
  if ((entry & 1n) !== 0n) return undefined;
  return secondTable(entry);
}

function safe(value: bigint): number {
  if (value > BigInt(Number.MAX_SAFE_INTEGER)) throw new MalformedError(`it claims ${value} bytes`);
  return Number(value);
}

import { open } from 'node:fs/promises';
import { hasCode, UserError } from '../host/errors.ts';

/** What the fixed part of a qcow2 header says. */
export interface Qcow2Header {
  version: 2 | 3;
  /** Size of the drive that the file describes, in bytes. */
  virtualBytes: number;
}

/**
 * Fields of the qcow2 header, all big-endian: offset and size in bytes.
 * Source: QEMU's docs/interop/qcow2.txt, "Header".
 */
const field = {
  magic: [0, 4],
  version: [4, 4],
  backingFileOffset: [8, 8],
  clusterBits: [20, 4],
  size: [24, 8],
  encryptionMethod: [32, 4],
  incompatibleFeatures: [72, 8],
} as const;

const magic = 0x514649fbn; // "QFI\xfb"
const headerBytes = 104;
/** Incompatible feature bits that a drive of ours may carry: dirty (after a crash of QEMU) and compression type. */
const acceptedFeatures = 0b01001n;
const externalDataFile = 0b00100n;

function read(header: Buffer, [offset, size]: readonly [number, number]): bigint {
  return size === 8 ? header.readBigUInt64BE(offset) : BigInt(header.readUInt32BE(offset));
}

/**
 * Reads a qcow2 header and refuses every drive that is more than its own file. It is done before any tool opens the
 * drive, because a hostile one may name a file of this machine as its backing or data file, and `qemu-img info` opens
 * the latter already.
 * @throws UserError where the file is no plain self-contained qcow2 drive.
 */
export async function readQcow2Header(drive: string): Promise<Qcow2Header> {
  const refuse = (cause: string, hint?: string) =>
    new UserError(`cannot read drive ${drive}: ${cause}`, hint === undefined ? {} : { hint });
  await using file = await open(drive, 'r').catch((error: unknown) => {
    throw refuse(hasCode(error, 'ENOENT') ? 'there is no such file' : (error as Error).message);
  });
  if (!(await file.stat()).isFile()) throw refuse('it is not a regular file');
  const header = Buffer.alloc(headerBytes);
  const { bytesRead } = await file.read(header, 0, headerBytes, 0);
  if (bytesRead < 72 || read(header, field.magic) !== magic) throw refuse('it is not a qcow2 drive');
  const version = read(header, field.version);
  if (version !== 2n && version !== 3n) throw refuse(`its qcow2 version is ${version}, not 2 or 3`);
  const hostile = 'do not trust this drive: no builder makes one like it';
  if (read(header, field.backingFileOffset) !== 0n) throw refuse('it names a backing file', hostile);
  if (read(header, field.encryptionMethod) !== 0n) throw refuse('its qcow2 layer is encrypted', hostile);
  const features = version === 3n ? read(header, field.incompatibleFeatures) : 0n;
  if ((features & externalDataFile) !== 0n) throw refuse('it names an external data file', hostile);
  if ((features & ~acceptedFeatures) !== 0n)
    throw refuse(`it has qcow2 features 0x${features.toString(16)}`, hostile);
  const clusterBits = read(header, field.clusterBits);
  if (clusterBits < 9n || clusterBits > 21n) throw refuse(`its clusters are 2^${clusterBits} bytes`, hostile);
  const size = read(header, field.size);
  if (size > BigInt(Number.MAX_SAFE_INTEGER)) throw refuse(`it claims ${size} bytes`, hostile);
  return { version: Number(version) as 2 | 3, virtualBytes: Number(size) };
}

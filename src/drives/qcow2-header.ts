import { open } from 'node:fs/promises';
import { basename } from 'node:path';
import { hasCode, UserError } from '../host/errors.ts';

/** What the fixed part of a qcow2 header says. */
export interface Qcow2Header {
  version: 2 | 3;
  /** Size of the drive that the file describes, in bytes. */
  virtualBytes: number;
  /** Internal snapshots that it holds. */
  snapshots: number;
}

/**
 * Fields of the qcow2 header, all big-endian: offset and size in bytes.
 * Source: QEMU's docs/interop/qcow2.txt, "Header".
 */
const field = {
  magic: [0, 4],
  version: [4, 4],
  backingFileOffset: [8, 8],
  backingFileSize: [16, 4],
  clusterBits: [20, 4],
  size: [24, 8],
  encryptionMethod: [32, 4],
  snapshots: [60, 4],
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
 * @param ownBacking the one name of a backing file that is let pass
 * @param place where the file is opened, where that is not its name
 * @throws UserError where the file is no plain self-contained qcow2 drive.
 */
export async function readQcow2Header(
  drive: string,
  ownBacking?: string,
  place = drive,
): Promise<Qcow2Header> {
  const refuse = (cause: string, hint?: string) =>
    new UserError(`cannot read drive ${drive}: ${cause}`, hint === undefined ? {} : { hint });
  await using file = await open(place, 'r').catch((error: unknown) => {
    throw refuse(hasCode(error, 'ENOENT') ? 'there is no such file' : (error as Error).message);
  });
  if (!(await file.stat()).isFile()) throw refuse('it is not a regular file');
  const header = Buffer.alloc(headerBytes);
  const { bytesRead } = await file.read(header, 0, headerBytes, 0);
  if (bytesRead < 72 || read(header, field.magic) !== magic) throw refuse('it is not a qcow2 drive');
  const version = read(header, field.version);
  if (version !== 2n && version !== 3n) throw refuse(`its qcow2 version is ${version}, not 2 or 3`);
  const hostile = 'do not trust this drive: no builder makes one like it';
  const backing = await readBackingName(place);
  if (backing !== undefined && backing !== ownBacking) {
    const cut = backing === overlayBackingName(drive);
    const again = 'a resize of it was cut short: `cvm drive resize` with the same size completes it';
    throw refuse('it names a backing file', cut ? again : hostile);
  }
  if (read(header, field.encryptionMethod) !== 0n) throw refuse('its qcow2 layer is encrypted', hostile);
  const features = version === 3n ? read(header, field.incompatibleFeatures) : 0n;
  if ((features & externalDataFile) !== 0n) throw refuse('it names an external data file', hostile);
  if ((features & ~acceptedFeatures) !== 0n)
    throw refuse(`it has qcow2 features 0x${features.toString(16)}`, hostile);
  const clusterBits = read(header, field.clusterBits);
  if (clusterBits < 9n || clusterBits > 21n) throw refuse(`its clusters are 2^${clusterBits} bytes`, hostile);
  const size = read(header, field.size);
  if (size > BigInt(Number.MAX_SAFE_INTEGER)) throw refuse(`it claims ${size} bytes`, hostile);
  return {
    version: Number(version) as 2 | 3,
    virtualBytes: Number(size),
    snapshots: Number(read(header, field.snapshots)),
  };
}

/**
 * The backing file that a drive names in the last moments of a resize: a name beside it. `./` keeps a colon in it from being
 * taken for a protocol.
 */
export function overlayBackingName(drive: string): string {
  return `./.${basename(drive)}.resize-base`;
}

/**
 * Name of the backing file as the header of a qcow2 drive gives it, a hostile one perhaps; undefined where it names none, or
 * is no qcow2 drive.
 */
export async function readBackingName(drive: string): Promise<string | undefined> {
  await using file = await open(drive, 'r');
  const header = Buffer.alloc(24);
  await file.read(header, 0, header.length, 0);
  if (read(header, field.magic) !== magic) return undefined;
  const offset = read(header, field.backingFileOffset);
  const size = Number(read(header, field.backingFileSize));
  // At most 1023 bytes, in the first cluster, says the format.
  if (offset === 0n || size > 1023 || offset > 2n ** 21n) return offset === 0n ? undefined : '';
  const name = Buffer.alloc(size);
  await file.read(name, 0, size, Number(offset));
  return name.toString('utf8');
}

import { createHash, randomBytes } from 'node:crypto';
import { open, rename, stat } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { requireDigest } from '../host/digests.ts';
import { UserError } from '../host/errors.ts';
import { bytesOfFile, writeAll } from '../host/files.ts';
import { run } from '../host/run.ts';
import type { Secret } from '../host/secret.ts';
import {
  alignBlock,
  blockBytes,
  layOut,
  luksHeaderBytes,
  type Segment,
  type SegmentSource,
  sectorBytes,
  smallestVault,
} from './layout.ts';

/** What the initrd must know to open the drive. */
export interface Seal {
  segments: Segment[];
  /** dm-verity root hash, SHA-256, lower-case hex. */
  rootHash: string;
  /** dm-verity salt, hex. */
  salt: string;
  /** Where the hash tree starts in the payload, bytes. */
  hashOffset: number;
  /** Data blocks of 4096 bytes under the tree. */
  dataBlocks: number;
  /** First sector of the vault's mark in the payload, sectors of 512 bytes; the vault itself follows the mark's block. */
  vaultFirstSector: number;
  /** Copy of the LUKS2 header, {@link luksHeaderBytes} long: the only one used at boot. */
  headerFile: string;
}

export interface SealOptions {
  segments: readonly SegmentSource[];
  /** The qcow2 drive to make. */
  drive: string;
  /** Virtual size of the drive in bytes; what the sealed part leaves becomes the vault. */
  driveBytes: number;
  key: Secret;
  /** A private folder: the plaintext passes through it. */
  workDirectory: string;
  signal?: AbortSignal | undefined;
  progress?: (text: string) => void;
}

/**
 * Seals the layers: dm-verity over their concatenation, LUKS2 (AES-256-XTS, a new volume key) over both, qcow2
 * around that. All in user space: no device mapper, no root.
 * @throws UserError where the drive is too small for its content, or a segment is not what it must be.
 */
export async function sealDrive(options: SealOptions): Promise<Seal> {
  const { drive, driveBytes, workDirectory, signal, progress } = options;
  const { segments, dataBytes } = layOut(options.segments);
  // A hash tree of 32-byte digests takes 1/127 of the data; twice that bounds it.
  const treeBound = alignBlock(Math.ceil(dataBytes / 64));
  const needed = luksHeaderBytes + dataBytes + treeBound + smallestVault;
  if (driveBytes < needed) {
    throw new UserError(
      `cannot seal the root drive: its content and the smallest vault need ${gib(needed)}, root_drive_size gives ${gib(driveBytes)}`,
      {
        // What is sealed of user_config lies in the site's part.
        details: options.segments.map(({ name, bytes }) => `${name} takes ${gib(bytes)}`),
        hint: `set root_drive_size to ${Math.ceil(needed / 2 ** 30)} or more`,
      },
    );
  }
  const image = join(workDirectory, 'payload.img');
  progress?.('joining the layers');
  await concatenate(segments, image, signal);

  progress?.('hashing (dm-verity)');
  const salt = randomBytes(32).toString('hex');
  const rootHash = await formatVerity(image, dataBytes, salt, signal);
  const vaultFirstSector = await markVault(image);

  progress?.('encrypting (LUKS2)');
  const headerFile = join(workDirectory, 'luks-header');
  await encrypt(image, options.key, signal);
  await eraseGap(image);
  await copyHeader(image, headerFile);

  progress?.('writing qcow2');
  const partial = `${drive}.partial`;
  await run('qemu-img', ['convert', '-f', 'raw', '-O', 'qcow2', image, partial], { signal });
  await run('qemu-img', ['resize', '-q', '-f', 'qcow2', partial, String(driveBytes)], { signal });
  await rename(partial, drive);
  return {
    segments,
    rootHash,
    salt,
    hashOffset: dataBytes,
    dataBlocks: dataBytes / blockBytes,
    vaultFirstSector,
    headerFile,
  };
}

function gib(bytes: number): string {
  return `${(bytes / 2 ** 30).toFixed(2)} GiB`;
}

async function concatenate(segments: readonly Segment[], image: string, signal?: AbortSignal): Promise<void> {
  await using target = await open(image, 'wx', 0o600);
  for (const { file, sha256, firstSector, sectors } of segments) {
    let at = firstSector * sectorBytes;
    const hash = sha256 === undefined ? undefined : createHash('sha256');
    for await (const bytes of bytesOfFile(file, signal)) {
      hash?.update(bytes);
      await writeAll(target, bytes, at);
      at += bytes.length;
    }
    if (sha256 !== undefined) requireDigest(file, sha256, hash!.digest('hex'));
    await target.truncate((firstSector + sectors) * sectorBytes);
  }
}

/** Appends the hash tree and returns the root hash. */
async function formatVerity(
  image: string,
  dataBytes: number,
  salt: string,
  signal?: AbortSignal,
): Promise<string> {
  const text = await run(
    'veritysetup',
    [
      'format',
      '--no-superblock',
      '--format=1',
      '--hash=sha256',
      `--data-block-size=${blockBytes}`,
      `--hash-block-size=${blockBytes}`,
      `--data-blocks=${dataBytes / blockBytes}`,
      `--hash-offset=${dataBytes}`,
      `--salt=${salt}`,
      image,
      image,
    ],
    { signal },
  );
  const rootHash = /^Root hash:\s+([0-9a-f]{64})$/m.exec(text)?.[1];
  if (rootHash === undefined)
    throw new UserError('cannot seal the root drive: veritysetup named no root hash');
  return rootHash;
}

/**
 * Appends the vault's mark, one block: InitApp replaces it once it has made the vault. Under the key, "never made" is thus
 * something that was said, and whatever else the host puts there decrypts to neither.
 * @returns the mark's first sector
 */
async function markVault(image: string): Promise<number> {
  const offset = alignBlock((await stat(image)).size);
  const mark = Buffer.alloc(blockBytes);
  mark.write('cvm-vault-new\n');
  await using file = await open(image, 'r+');
  await file.write(mark, 0, mark.length, offset);
  return offset / sectorBytes;
}

/**
 * Encrypts the image in place behind a LUKS2 header of 2 MiB. PBKDF2 at its minimum: the passphrase is 512
 * random bits, there is nothing to slow down. The key goes through a pipe.
 */
async function encrypt(image: string, key: Secret, signal?: AbortSignal): Promise<void> {
  await using file = await open(image, 'r+');
  const { size } = await file.stat();
  await file.truncate(alignBlock(size) + 2 * luksHeaderBytes);
  await run(
    'cryptsetup',
    [
      'reencrypt',
      '--encrypt',
      '--batch-mode',
      '--disable-locks',
      '--type=luks2',
      '--cipher=aes-xts-plain64',
      '--key-size=512',
      `--sector-size=${blockBytes}`,
      `--reduce-device-size=${2 * luksHeaderBytes}`,
      '--luks2-metadata-size=16k',
      '--luks2-keyslots-size=512k',
      '--resilience=none',
      '--pbkdf=pbkdf2',
      '--pbkdf-force-iterations=1000',
      '--key-file=-',
      resolve(image),
    ],
    // It makes a temporary header in the folder that it is started in.
    { signal, input: key.reveal(), cwd: dirname(resolve(image)) },
  );
}

/** What LUKS2 uses of the room in front of the payload: two metadata areas of 16 KiB and the keyslots, bytes. */
const luksUsedBytes = 2 * 16 * 1024 + 512 * 1024;

/** cryptsetup leaves what the image held between the keyslots and the payload as it was: plaintext. */
async function eraseGap(image: string): Promise<void> {
  await using file = await open(image, 'r+');
  const gap = luksHeaderBytes - luksUsedBytes;
  await file.write(Buffer.alloc(gap), 0, gap, luksUsedBytes);
}

async function copyHeader(image: string, headerFile: string): Promise<void> {
  await using source = await open(image, 'r');
  const header = Buffer.alloc(luksHeaderBytes);
  await source.read(header, 0, luksHeaderBytes, 0);
  await using target = await open(headerFile, 'wx', 0o600);
  await target.writeFile(header);
}

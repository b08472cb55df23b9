import { createHash } from 'node:crypto';
import { MeasurementError } from './error.ts';
import { type BlobHashes, hashCommandLine, noInitrdHash } from './kernel-hashes.ts';
import { RegularFile } from './regular-file.ts';

/** Linux x86 boot protocol, `header`: without it QEMU takes the file for something it does not hash. */
const setupMagic = { offset: 0x202, text: 'HdrS' } as const;

/** Two of these are all the memory that hashing takes, whatever the size of the file. */
const chunkSize = 1024 * 1024;

/**
 * SHA-256 of a kernel file as stored, its signature included. QEMU hashes the same for every SEV guest.
 * @throws MeasurementError for a file without the Linux setup header (a bare PE, a unified kernel image,
 *   an ELF), or one that cannot be read.
 */
export function hashKernelFile(path: string): Promise<Buffer> {
  return hashFile(path, 'kernel', (start) => {
    const { offset, text } = setupMagic;
    const found = start.toString('latin1', offset, offset + text.length);
    if (found === text) return;
    throw new MeasurementError(
      `cannot measure kernel ${path}: it has ${JSON.stringify(found)} at offset 0x${offset.toString(16)}, expected ${JSON.stringify(text)} of a Linux bzImage`,
      { offset },
    );
  });
}

/**
 * SHA-256 of an initrd file.
 * @throws MeasurementError for a file that cannot be read.
 */
export function hashInitrdFile(path: string): Promise<Buffer> {
  return hashFile(path, 'initrd');
}

/** The files and the text of a direct boot. */
export interface BlobFiles {
  /** Path of the bzImage. */
  kernel: string;
  /** Path of the initrd; none hashes like an empty one. */
  initrd?: string | undefined;
  /** Exact text of QEMU's `-append`. */
  commandLine?: string | undefined;
}

/**
 * Hashes all three blobs.
 * @throws MeasurementError as {@link hashKernelFile}, {@link hashInitrdFile} and {@link hashCommandLine}.
 */
export async function hashBlobs({ kernel, initrd, commandLine }: BlobFiles): Promise<BlobHashes> {
  const [kernelHash, initrdHash] = await Promise.all([
    hashKernelFile(kernel),
    initrd === undefined ? noInitrdHash : hashInitrdFile(initrd),
  ]);
  return { kernel: kernelHash, initrd: initrdHash, commandLine: hashCommandLine(commandLine) };
}

async function hashFile(
  path: string,
  what: string,
  check: (start: Buffer) => void = () => {},
): Promise<Buffer> {
  const hasher = createHash('sha256');
  try {
    using file = new RegularFile(path);
    // One chunk is read while the other is hashed.
    let current = Buffer.allocUnsafe(chunkSize);
    let next = Buffer.allocUnsafe(chunkSize);
    let bytesRead = await file.read(current);
    check(current.subarray(0, bytesRead));
    while (bytesRead > 0) {
      const reading = file.read(next);
      hasher.update(current.subarray(0, bytesRead));
      bytesRead = await reading;
      [current, next] = [next, current];
    }
  } catch (cause) {
    if (cause instanceof MeasurementError) throw cause;
    throw new MeasurementError(`cannot hash ${what} ${path}: ${(cause as Error).message}`, { cause });
  }
  return hasher.digest();
}

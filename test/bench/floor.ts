import { createHash, hash } from 'node:crypto';
import { closeSync, openSync, readFileSync, readSync } from 'node:fs';

const pageSize = 4096;
const chunk = Buffer.allocUnsafe(1024 * 1024);

/**
 * The least that any launch digest needs, in the simplest fast form: SHA-256 of kernel and initrd as they stream by, and
 * SHA-384 of each page of the firmware. No page chain, no tables, no checks.
 */
export function hashInputsAlone(files: { ovmf: string; kernel: string; initrd: string }): void {
  sha256OfFile(files.kernel);
  sha256OfFile(files.initrd);
  const firmware = readFileSync(files.ovmf);
  for (let offset = 0; offset < firmware.length; offset += pageSize) {
    // As text it is faster than as a Buffer, which is allocated for each.
    hash('sha384', firmware.subarray(offset, offset + pageSize), 'hex');
  }
}

function sha256OfFile(path: string): Buffer {
  const hasher = createHash('sha256');
  const file = openSync(path, 'r');
  for (let read = readSync(file, chunk); read > 0; read = readSync(file, chunk)) {
    hasher.update(chunk.subarray(0, read));
  }
  closeSync(file);
  return hasher.digest();
}

import { lstat, readdir } from 'node:fs/promises';
import { join } from 'node:path';

/** Bytes (each file rounded up to a file-system block of 4096) and number of entries below a folder. */
export async function measureFolder(folder: string): Promise<{ bytes: number; entries: number }> {
  let bytes = 0;
  let entries = 0;
  for (const entry of await readdir(folder, { recursive: true, withFileTypes: true })) {
    const { size } = await lstat(join(entry.parentPath, entry.name));
    bytes += Math.max(1, Math.ceil(size / 4096)) * 4096;
    entries++;
  }
  return { bytes, entries };
}

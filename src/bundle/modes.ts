import { chmod, lstat, mkdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { bundleFiles } from './names.ts';

/** What others may do with a finished bundle: read it and start its script. Only its owner writes to the drives. */
const forReaders = 0o755;

/**
 * Makes the folder of a bundle: until {@link openToReaders} nobody else gets into it, whatever the umask is. What is measured is
 * then what was written.
 * @returns the mode that the folder gets at the end, which is what the umask leaves of 0755
 */
export async function makePrivateFolder(folder: string): Promise<number> {
  await mkdir(dirname(folder), { recursive: true, mode: forReaders });
  await mkdir(folder, { mode: forReaders });
  const { mode } = await lstat(folder);
  await chmod(folder, 0o700);
  return mode & forReaders;
}

/**
 * Opens the folder of a complete bundle: nobody but its owner may write to it or to one of its files, and others read what the
 * umask let them.
 * @param mode what {@link makePrivateFolder} gave
 */
export async function openToReaders(folder: string, mode: number): Promise<void> {
  for (const name of bundleFiles) {
    const file = join(folder, name);
    await chmod(file, (await lstat(file)).mode & mode);
  }
  await chmod(folder, mode);
}

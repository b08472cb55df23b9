import { chmod, lstat, open, opendir, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { digestsName } from '../host/digests.ts';

/** Sum of the sizes, in bytes, of the regular files below a folder; the record of their digests does not count. */
export async function folderSize(folder: string): Promise<number> {
  let bytes = 0;
  for await (const entry of await opendir(folder, { recursive: true })) {
    if (entry.isFile() && entry.name !== digestsName)
      bytes += (await stat(join(entry.parentPath, entry.name))).size;
  }
  return bytes;
}

/** Waits until a folder's regular files and folders, and its own name, are on the disk. */
export async function flushTree(folder: string): Promise<void> {
  for await (const entry of await opendir(folder, { recursive: true })) {
    if (entry.isFile() || entry.isDirectory()) await flush(join(entry.parentPath, entry.name));
  }
  await flush(folder);
  await flush(dirname(folder));
}

/** Takes from others what they may do with the regular files below a folder: a copy of the cache elsewhere keeps it so. */
export async function makePrivate(folder: string): Promise<void> {
  for await (const entry of await opendir(folder, { recursive: true })) {
    if (!entry.isFile()) continue;
    const path = join(entry.parentPath, entry.name);
    await chmod(path, (await stat(path)).mode & 0o700);
  }
}

/** Whether a folder and all in it belong to this user, and it holds only regular files and folders. */
export async function isOwnTree(folder: string): Promise<boolean> {
  const uid = process.getuid?.();
  for await (const entry of await opendir(folder, { recursive: true })) {
    // What is gone by now was a temporary file of a process that notes digests as well.
    const found = await lstat(join(entry.parentPath, entry.name)).catch(() => undefined);
    if (found === undefined) continue;
    if (found.uid !== uid || !(found.isFile() || found.isDirectory())) return false;
  }
  return true;
}

async function flush(path: string): Promise<void> {
  await using handle = await open(path, 'r');
  await handle.sync();
}

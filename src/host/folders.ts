import { constants } from 'node:fs';
import { access, lstat, stat, statfs } from 'node:fs/promises';
import { dirname } from 'node:path';

/** Whether a path leads to a folder. */
export async function isFolder(path: string): Promise<boolean> {
  return (await stat(path).catch(() => undefined))?.isDirectory() ?? false;
}

/** The path itself where it exists, else the nearest folder above it that does. */
export async function nearestExisting(path: string): Promise<string> {
  if ((await stat(path).catch(() => undefined)) !== undefined || dirname(path) === path) return path;
  return nearestExisting(dirname(path));
}

/** Why this account cannot make entries in a folder, or undefined where it can. Nothing is written. */
export async function whyNotWritable(folder: string): Promise<string | undefined> {
  if (!(await isFolder(folder))) return 'it is not a folder';
  try {
    await access(folder, constants.W_OK | constants.X_OK);
    return undefined;
  } catch (error) {
    const readOnly = (error as NodeJS.ErrnoException).code === 'EROFS';
    return readOnly ? 'its file system is read-only' : 'this account may not write to it';
  }
}

/** Bytes that this account may still write to the file system of a folder. */
export async function freeBytes(folder: string): Promise<number> {
  const { bavail, bsize } = await statfs(folder);
  return bavail * bsize;
}

/** Whether a path is a regular file, not a link to one. */
export async function isFile(path: string): Promise<boolean> {
  return (await lstat(path).catch(() => undefined))?.isFile() ?? false;
}

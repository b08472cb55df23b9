import { constants } from 'node:fs';
import { access, lstat, readlink, stat, statfs } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';

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

/** As many links as the kernel follows (path_resolution(7)). */
const mostLinks = 40;

/**
 * Why another account could change what is written below a path, or have it written elsewhere; undefined where none could. Every folder
 * and every link on the way must be this account's or root's, and no folder may be writable for all but a sticky one, in which others
 * replace only what is theirs. Links of one's own are followed. The members of a folder's group are trusted: that is what it is for.
 * The part of the path that is not there yet says nothing.
 */
export async function whyNotOwn(path: string, links = 0): Promise<string | undefined> {
  const names = resolve(path).split('/').filter(Boolean);
  let at = '/';
  for (let next = 0; ; next += 1) {
    const found = await lstat(at).catch(() => undefined);
    if (found === undefined) return undefined;
    if (!trustedOwners().has(found.uid)) return `${at} belongs to another account (uid ${found.uid})`;
    if (found.isSymbolicLink()) {
      if (links === mostLinks) return `${at} is one link too many`;
      const target = resolve(dirname(at), await readlink(at));
      return whyNotOwn(join(target, ...names.slice(next)), links + 1);
    }
    if ((found.mode & 0o1002) === 0o0002) return `every account may write to ${at}`;
    if (next === names.length) return undefined;
    at = join(at, names[next]!);
  }
}

/** This account, root, and where root was asked for by sudo, the account that asked: it is root already. */
function trustedOwners(): ReadonlySet<number> {
  const own = process.getuid?.() ?? 0;
  const asked = Number(process.env.SUDO_UID);
  return new Set([0, own, ...(own === 0 && Number.isInteger(asked) && asked > 0 ? [asked] : [])]);
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

import { constants } from 'node:fs';
import { access, lstat, open, realpath, statfs } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { hasCode, messageOf, UserError } from '../../host/errors.ts';
import { overlayBackingName } from '../qcow2-header.ts';

/** Where a drive lies, and the names beside it that a resize uses. All absolute paths in one folder. */
export interface Place {
  folder: string;
  drive: string;
  /** The new drive while it is being made: an overlay of the old one, or a copy. */
  next: string;
  /** A second name of the old drive, which the overlay refers to. */
  base: string;
  /** {@link base} as the overlay's header names it. */
  backingName: string;
  /** What is under way, for a run after one that was killed. */
  record: string;
  /** Sparse raw copy, where there is no other way to work on the drive. */
  raw: string;
}

/**
 * Finds a drive. Symbolic links are refused: a folder that comes back from a host may lead to any file of this machine.
 * @throws UserError where there is no file to work on.
 */
export async function placeOf(path: string): Promise<Place> {
  const cannot = (cause: string, hint?: string) =>
    new UserError(`cannot resize ${path}: ${cause}`, hint === undefined ? {} : { hint });
  const found = await lstat(path).catch((error: unknown) => {
    throw cannot(hasCode(error, 'ENOENT') ? 'there is no such file' : messageOf(error));
  });
  if (found.isSymbolicLink()) throw cannot('it is a symbolic link', 'name the file that it leads to');
  if (!found.isFile()) throw cannot('it is not a regular file');
  const folder = await realpath(dirname(path));
  const name = basename(path);
  for (const needed of [folder, join(folder, name)]) {
    await access(needed, constants.R_OK | constants.W_OK).catch(() => {
      throw cannot(`${needed} is not yours to write`, 'files are made beside the drive while it is resized');
    });
  }
  const beside = (suffix: string) => join(folder, `.${name}.${suffix}`);
  return {
    folder,
    drive: join(folder, name),
    next: beside('resize'),
    base: beside('resize-base'),
    backingName: overlayBackingName(name),
    record: beside('resize.json'),
    raw: beside('resize.raw'),
  };
}

/** Bytes that this user may still write in a folder. */
export async function freeBytes(folder: string): Promise<number> {
  const { bavail, bsize } = await statfs(folder);
  return bavail * bsize;
}

/** Bytes to be kept free beside what a step needs: tables of qcow2, the record, the folder. */
const margin = 4 * 2 ** 20;

/** @throws UserError where the folder has too little space for `bytes` more. */
export async function requireSpace({ drive, folder }: Place, bytes: number): Promise<void> {
  const free = await freeBytes(folder);
  if (free >= bytes + margin) return;
  const mebibytes = (count: number) => `${Math.ceil(count / 2 ** 20)} MiB`;
  throw new UserError(
    `cannot resize ${drive}: ${folder} has ${mebibytes(free)} free, and up to ${mebibytes(bytes + margin)} are needed meanwhile`,
    { hint: `make room in ${folder}; the drive is as it was` },
  );
}

/** Waits until a file's or folder's bytes are on the disk. */
export async function syncToDisk(path: string): Promise<void> {
  await using handle = await open(path, 'r');
  await handle.sync();
}

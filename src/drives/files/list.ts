import { UserError } from '../../host/errors.ts';
import { fileType } from '../../host/ext4/inode.ts';
import { readable } from '../../host/tar/entry.ts';
import { wholeContent } from './content.ts';
import { kindOf } from './copy/out.ts';
import { onDrive } from './malformed.ts';
import { findExisting } from './place.ts';
import { lookupIn, openFiles } from './read-files.ts';
import { walkDrive } from './walk-drive.ts';

/** An entry of a drive, for people and programs; nothing in it can steer a terminal. */
export interface Listed {
  /** Below what was listed; `.` for that itself. Control characters are spelled out. */
  path: string;
  /** As `ls -l` writes it, such as `drwxr-xr-x`. */
  mode: string;
  uid: number;
  gid: number;
  /** In bytes. */
  size: number;
  /** ISO 8601 in UTC. */
  changed: string;
  /** Target of a link. */
  target?: string;
}

export interface ListOptions {
  /** Also what lies in folders below. */
  recursive: boolean;
  signal?: AbortSignal | undefined;
}

/**
 * Tells what lies at a path of a drive: the entries of a folder, or the one that is named.
 * @throws UserError where nothing is there
 */
export async function* listFiles(drive: string, path: string, options: ListOptions): AsyncGenerator<Listed> {
  const found = await onDrive('read', drive, async () => {
    const files = await openFiles(drive, options.signal);
    try {
      return { files, start: (await findExisting(drive, lookupIn(files.ext4), path)).inode };
    } catch (error) {
      await files[Symbol.asyncDispose]();
      throw error;
    }
  });
  await using files = found.files;
  const { ext4 } = files;
  const isFolder = found.start.type === fileType.directory;
  const walk = walkDrive(ext4, found.start, options.recursive ? Number.POSITIVE_INFINITY : 1);
  for (;;) {
    options.signal?.throwIfAborted();
    const { value, done } = await onDrive('read', drive, () => walk.next());
    if (done) return;
    const { path: names, inode } = value;
    if (names.length === 0 && isFolder) continue;
    const target =
      inode.type === fileType.symlink
        ? readable(await onDrive('read', drive, () => ext4.target(inode)))
        : undefined;
    yield {
      path: names.map(readable).join('/') || '.',
      mode: modeText(inode.type, inode.mode),
      uid: inode.uid,
      gid: inode.gid,
      size: inode.size,
      changed: new Date(inode.mtime * 1000).toISOString(),
      ...(target === undefined ? {} : { target }),
    };
  }
}

const letters: Record<number, string> = {
  [fileType.regular]: '-',
  [fileType.directory]: 'd',
  [fileType.symlink]: 'l',
  [fileType.fifo]: 'p',
  [fileType.character]: 'c',
  [fileType.block]: 'b',
};

/** Type and permissions as `ls -l` writes them. */
export function modeText(type: number, mode: number): string {
  const three = (shift: number, special: boolean, letter: string) => {
    const x = (mode >> shift) & 1;
    const last = special ? (x ? letter : letter.toUpperCase()) : x ? 'x' : '-';
    return `${(mode >> shift) & 4 ? 'r' : '-'}${(mode >> shift) & 2 ? 'w' : '-'}${last}`;
  };
  return [
    letters[type] ?? '?',
    three(6, (mode & 0o4000) !== 0, 's'),
    three(3, (mode & 0o2000) !== 0, 's'),
    three(0, (mode & 0o1000) !== 0, 't'),
  ].join('');
}

/**
 * The content of a file of a drive, in pieces; links are not followed.
 * @throws UserError where there is no such file
 */
export async function* catFile(drive: string, path: string, signal?: AbortSignal): AsyncGenerator<Buffer> {
  await using files = await onDrive('read', drive, () => openFiles(drive, signal));
  const { inode } = await onDrive('read', drive, () => findExisting(drive, lookupIn(files.ext4), path));
  if (inode.type !== fileType.regular)
    throw new UserError(`cannot print ${readable(path)} from drive ${drive}: it is ${kindOf(inode)}`);
  const pieces = wholeContent(files, inode);
  for (;;) {
    signal?.throwIfAborted();
    const { value, done } = await onDrive('read', drive, () => pieces.next());
    if (done) return;
    yield value;
  }
}

import { createHash } from 'node:crypto';
import { constants } from 'node:fs';
import { type FileHandle, lstat, mkdir, open, rename, unlink } from 'node:fs/promises';
import { hasCode, messageOf, UserError } from '../../../host/errors.ts';
import { fileType, type Inode } from '../../../host/ext4/inode.ts';
import { MalformedError } from '../../../host/tar/bytes.ts';
import { readable } from '../../../host/tar/entry.ts';
import type { Owner } from '../attributes.ts';
import { contentPieces, storedSize } from '../content.ts';
import type { OpenFiles } from '../read-files.ts';
import { walkDrive } from '../walk-drive.ts';
import { unusableWord } from '../write/debugfs-script.ts';

export interface CopyOutOptions {
  owner?: Owner | undefined;
  onBytes: (count: number) => void;
  /** Told of what is left out. */
  warn: (text: string) => void;
  signal?: AbortSignal | undefined;
}

/** A file or folder that is to be made here. */
interface Target {
  path: Buffer;
  inode: Inode;
}

/** What is to be made here. */
export interface CopyOutPlan {
  targets: Target[];
  /** Bytes of content to read. */
  bytes: number;
}

const slash = Buffer.from('/');
/** Others on this machine cannot write to what comes off a drive, whatever it says. */
const keptMode = 0o755;

/**
 * Lists what a copy of a place on the drive makes here. Only regular files and folders are copied: a link or device of a
 * drive that others wrote has no business on this machine, and a name that could steer a terminal neither.
 * @param to where the place itself goes; what lies below gets its names on the drive
 */
export async function planCopyOut(
  files: OpenFiles,
  start: Inode,
  to: Buffer,
  options: Pick<CopyOutOptions, 'warn' | 'signal'>,
): Promise<CopyOutPlan> {
  const { superblock } = files.ext4;
  const plan: CopyOutPlan = { targets: [], bytes: 0 };
  const left = new Set<string>();
  for await (const { path, inode } of walkDrive(files.ext4, start)) {
    options.signal?.throwIfAborted();
    const above = path.slice(0, -1).join('/');
    if (path.length > 0 && left.has(above)) {
      left.add(path.join('/'));
      continue;
    }
    const shown = readable(`/${path.join('/')}`);
    const unusable = unusableWord(path.at(-1) ?? '-');
    const isFolder = inode.type === fileType.directory;
    if (unusable !== undefined || (!isFolder && inode.type !== fileType.regular)) {
      const why = unusable === undefined ? `is ${kindOf(inode)}` : `has a name that ${unusable}`;
      options.warn(`${shown} is left out: it ${why}`);
      left.add(path.join('/'));
      continue;
    }
    if (!isFolder) plan.bytes += await storedSize(files.ext4, inode);
    // In a sound file system no two files share blocks; in a hostile one a small drive could fill this machine.
    if (plan.bytes > superblock.blocksCount * superblock.blockSize)
      throw new MalformedError('its files have more content than it has room for');
    plan.targets.push({
      path: Buffer.concat([to, ...path.flatMap((name) => [slash, Buffer.from(name, 'latin1')])]),
      inode,
    });
  }
  return plan;
}

/** What an inode is, for people. */
export function kindOf({ type }: Inode): string {
  const kinds: Record<number, string> = {
    [fileType.symlink]: 'a link',
    [fileType.fifo]: 'a named pipe',
    [fileType.character]: 'a device',
    [fileType.block]: 'a device',
    [fileType.directory]: 'a folder',
    [fileType.regular]: 'a file',
  };
  return kinds[type] ?? 'a socket, or damaged';
}

/**
 * Makes the files and folders of a plan. A file gets its name when it is whole; cut off, the same plan goes on where it
 * stopped. Files of the same size and time of change are taken as there already.
 * @throws UserError where something cannot be made
 */
export async function copyOut(files: OpenFiles, plan: CopyOutPlan, options: CopyOutOptions): Promise<void> {
  const folders: Target[] = [];
  for (const target of plan.targets) {
    options.signal?.throwIfAborted();
    try {
      if (target.inode.type !== fileType.directory) await copyFile(files, target, options);
      else if (await makeFolder(target.path)) folders.push(target);
    } catch (error) {
      if (error instanceof UserError || error instanceof MalformedError || options.signal?.aborted)
        throw error;
      throw new UserError(`cannot write ${readable(target.path.toString('latin1'))}: ${messageOf(error)}`, {
        cause: error,
      });
    }
  }
  // Last, and the innermost first: their times would change with what is made in them, and their modes may forbid it.
  for (const { path, inode } of folders.reverse()) {
    await using folder = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_DIRECTORY);
    if (options.owner !== undefined) await folder.chown(options.owner.uid, options.owner.gid);
    await folder.chmod(inode.mode & keptMode);
    await folder.utimes(timeOf(inode), timeOf(inode));
  }
}

/** @returns whether it was not there before */
async function makeFolder(path: Buffer): Promise<boolean> {
  try {
    await mkdir(path, 0o700);
    return true;
  } catch (error) {
    if (!hasCode(error, 'EEXIST') || !(await lstat(path)).isDirectory()) throw error;
    return false;
  }
}

async function copyFile(files: OpenFiles, { path, inode }: Target, options: CopyOutOptions): Promise<void> {
  const stored = await storedSize(files.ext4, inode);
  const there = await lstat(path, { bigint: true }).catch(() => undefined);
  if (there?.isDirectory()) throw new Error('there is a folder of that name');
  if (there?.isFile() && Number(there.size) === inode.size && sameTime(there.mtimeNs, inode)) {
    options.onBytes(stored);
    return;
  }
  const partial = partialPath(path, inode);
  {
    await using file = await openPartial(partial);
    const from = (await file.stat()).size;
    let copied = 0;
    for await (const { offset, data } of contentPieces(files, inode, { from })) {
      options.signal?.throwIfAborted();
      for (let at = 0; at < data.length; )
        at += (await file.write(data, at, data.length - at, offset + at)).bytesWritten;
      copied += data.length;
      options.onBytes(data.length);
    }
    options.onBytes(stored - copied);
    await file.truncate(inode.size);
    if (options.owner !== undefined) await file.chown(options.owner.uid, options.owner.gid);
    await file.chmod(inode.mode & keptMode);
    await file.utimes(timeOf(inode), timeOf(inode));
  }
  await rename(partial, path);
}

/** A file that an earlier run left, or a new one; nothing that others could have put there. */
async function openPartial(path: Buffer): Promise<FileHandle> {
  const flags = constants.O_RDWR | constants.O_NOFOLLOW;
  const found = await open(path, flags | constants.O_NONBLOCK).catch(() => undefined);
  if (found !== undefined) {
    const stat = await found.stat();
    if (stat.isFile() && stat.nlink === 1 && stat.uid === process.getuid?.()) return found;
    await found.close();
    await unlink(path);
  }
  return await open(path, flags | constants.O_CREAT | constants.O_EXCL, 0o600);
}

function partialPath(path: Buffer, inode: Inode): Buffer {
  const end = path.lastIndexOf(0x2f) + 1;
  const hash = createHash('sha256').update(path.subarray(end));
  hash.update(`/${inode.size}/${nanosecondsOf(inode)}`);
  return Buffer.concat([path.subarray(0, end), Buffer.from(`.cvm-part-${hash.digest('hex').slice(0, 24)}`)]);
}

function nanosecondsOf({ mtime, mtimeNanoseconds }: Inode): bigint {
  return BigInt(mtime) * 1_000_000_000n + BigInt(mtimeNanoseconds);
}

/** Node sets times as a number of seconds, which is exact to some 240 nanoseconds. */
function sameTime(time: bigint, inode: Inode): boolean {
  const difference = time - nanosecondsOf(inode);
  return difference > -1000n && difference < 1000n;
}

/** As Node takes it: seconds. */
function timeOf({ mtime, mtimeNanoseconds }: Inode): number {
  return mtime + mtimeNanoseconds / 1e9;
}

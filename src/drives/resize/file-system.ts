import { UserError } from '../../host/errors.ts';
import { openRegularFile } from '../../host/files.ts';
import { start, toolError } from '../../host/run.ts';
import type { ToolName } from '../../host/tools.ts';

/** What a resize needs to know of an ext4 file system; sizes in bytes. */
export interface FileSystem {
  blockBytes: number;
  /** Of the whole file system. */
  bytes: number;
  /** Blocks in use, metadata included. */
  usedBytes: number;
}

interface Subject {
  /** Name of the drive, for messages. */
  drive: string;
  /** File or device with its bytes. */
  path: string;
  signal?: AbortSignal | undefined;
}

/** Signatures of what else may lie on a drive: offset in bytes, the bytes, how to say it and what to do. */
const others = [
  [
    0,
    'LUKS\xba\xbe',
    'it is an encrypted drive',
    'root_drive_size sets the size of the sealed drive when it is built',
  ],
  [512, 'EFI PART', 'it has a partition table, and the file system must be on the whole drive'],
  [0, 'XFSB', 'it has XFS on it, not ext4'],
  [65_600, '_BHRfS_M', 'it has btrfs on it, not ext4'],
  [
    510,
    '\x55\xaa',
    'it has a boot sector or partition table, and the file system must be on the whole drive',
  ],
] as const;

const superblockMagic = [1024 + 0x38, '\x53\xef'] as const;

/**
 * Reads the superblock and refuses all but one plain ext4 file system. Done before e2fsck, which would look for an external journal
 * by its UUID among the devices of this machine.
 * @throws UserError saying what is there instead.
 */
export async function readFileSystem(subject: Subject, driveBytes: number): Promise<FileSystem> {
  const cannot = (cause: string, hint?: string) =>
    new UserError(`cannot resize ${subject.drive}: ${cause}`, hint === undefined ? {} : { hint });
  const start = await firstBytes(subject.path, 66 * 1024);
  const has = (offset: number, bytes: string) =>
    start.subarray(offset, offset + bytes.length).equals(Buffer.from(bytes, 'latin1'));
  if (!has(...superblockMagic)) {
    const [, , cause, hint] = others.find(([offset, bytes]) => has(offset, bytes)) ?? [
      0,
      '',
      'it has no ext4 file system',
    ];
    throw cannot(cause, hint);
  }
  const text = await statistics(subject, 'show_super_stats -h');
  const features = /^Filesystem features: +(.*)$/m.exec(text)?.[1]?.split(' ') ?? [];
  const number = (name: string) => Number(new RegExp(`^${name}: +(\\d+)$`, 'm').exec(text)?.[1]);
  const [blocks, free, blockBytes] = [number('Block count'), number('Free blocks'), number('Block size')];
  if (![blocks, free, blockBytes].every(Number.isSafeInteger))
    throw cannot('the superblock of its file system is damaged');
  if (!features.includes('extent')) throw cannot('its file system is ext2 or ext3, not ext4');
  if (features.includes('journal_dev') || /^Journal (?:UUID|device):/m.test(text))
    throw cannot('the journal of its file system is on another device');
  if (blocks * blockBytes > driveBytes)
    throw cannot(
      `its file system has ${blocks * blockBytes} bytes and the drive only ${driveBytes}`,
      'the drive was cut; enlarge it with qemu-img resize to at least that size',
    );
  return { blockBytes, bytes: blocks * blockBytes, usedBytes: Math.max(0, blocks - free) * blockBytes };
}

async function firstBytes(path: string, count: number): Promise<Buffer> {
  await using file = await openRegularFile(path);
  const bytes = Buffer.alloc(count);
  await file.read(bytes, 0, count, 0);
  return bytes;
}

/** Bounds on what a hostile file system can make debugfs print, and on the time it may take: 16 TiB have 131072 groups. */
const limits = { maxBuffer: 64 * 2 ** 20, timeout: 300_000, encoding: 'latin1' as const };

async function statistics({ path, signal }: Subject, request: string): Promise<string> {
  const args = ['-R', request, path];
  const options = { signal, env: { DEBUGFS_PAGER: '__none__' } };
  try {
    return String((await start('debugfs', args, options, limits)).stdout);
  } catch (error) {
    throw toolError('debugfs', args, error, options);
  }
}

/**
 * `e2fsck -f`: replays the journal and repairs what needs no decision; with `repair`, all that it can.
 * @returns true where it changed something
 * @throws UserError where errors are left.
 */
export async function checkFileSystem(subject: Subject, repair: boolean): Promise<boolean> {
  const result = await e2fsck(subject, ['-f', repair ? '-y' : '-p']);
  const status = result.exitCode ?? 8;
  // A set of bits, e2fsck(8): 1 and 2 repaired, 4 errors left, 8 and above it could not work.
  if (status < 4) return status !== 0;
  const cannotWrite = /No space left on device|Input\/output error/.test(String(result.stdout));
  if (status >= 8 || cannotWrite) throw toolError('e2fsck', [subject.path], result, { hint: untouched });
  throw new UserError(`cannot resize ${subject.drive}: its file system is damaged`, {
    details: lastLines(result.stdout),
    ...(repair
      ? {}
      : { hint: 'copy the drive, then run this again with --repair: e2fsck repairs all it can' }),
  });
}

/** @throws UserError where a file system that was just resized is not whole: nothing has been put in place then. */
export async function requireWhole(subject: Subject): Promise<void> {
  const result = await e2fsck(subject, ['-f', '-n']);
  if (result.exitCode === 0) return;
  throw new UserError(`cannot resize ${subject.drive}: the result is not whole; the drive is as it was`, {
    details: lastLines(result.stdout),
  });
}

async function e2fsck({ path, signal }: Subject, args: readonly string[]) {
  const options = { signal, endWithParent: 'SIGKILL' as const };
  const result = await start('e2fsck', [...args, path], options, { reject: false });
  if (result.isCanceled || result.exitCode === undefined)
    throw toolError('e2fsck', [...args, path], result, options);
  return result;
}

const untouched = 'the drive is as it was; an input/output error here may mean that its folder is full';

function lastLines(text: unknown): string[] {
  return String(text ?? '')
    .split('\n')
    .slice(-8);
}

/** The smallest size that the file system can be given, bytes, as resize2fs estimates it. */
export async function minimumBytes(subject: Subject, { blockBytes }: FileSystem): Promise<number> {
  const text = await tool('resize2fs', ['-P', subject.path], subject);
  const blocks = Number(/: (\d+)$/m.exec(text)?.[1]);
  if (!Number.isSafeInteger(blocks)) throw new Error(`resize2fs -P says ${JSON.stringify(text)}`);
  return blocks * blockBytes;
}

/** Bytes in use beyond `bytes`: a bound on what a file system moves when it shrinks to that. Whole groups are counted. */
export async function usedBeyond(
  subject: Subject,
  { blockBytes }: FileSystem,
  bytes: number,
): Promise<number> {
  const text = await statistics(subject, 'show_super_stats');
  const perGroup = Number(/^Blocks per group: +(\d+)$/m.exec(text)?.[1]);
  let blocks = 0;
  for (const [, group, free] of text.matchAll(/^ Group +(\d+):[^G]*?(\d+) free blocks/gm)) {
    if ((Number(group) + 1) * perGroup * blockBytes > bytes) blocks += Math.max(0, perGroup - Number(free));
  }
  return blocks * blockBytes;
}

/** Gives the file system its size. @throws UserError with resize2fs's own words. */
export async function setSize(subject: Subject, bytes: number): Promise<void> {
  await tool('resize2fs', [subject.path, `${bytes / 1024}K`], subject);
}

async function tool(name: ToolName, args: readonly string[], { signal }: Subject): Promise<string> {
  const options = { signal, endWithParent: 'SIGKILL' as const, hint: untouched };
  try {
    return String((await start(name, args, options)).stdout ?? '');
  } catch (error) {
    throw toolError(name, args, error, options);
  }
}

import { readFile, rm, statfs } from 'node:fs/promises';
import { join } from 'node:path';
import { messageOf, UserError } from '../host/errors.ts';
import { type RunOptions, run, start, toolError } from '../host/run.ts';
import { workDirectory } from '../host/temp.ts';
import { type DirectoryEntry, parseListing, parseStat } from './debugfs-output.ts';
import { readQcow2Header } from './qcow2-header.ts';

export type { DirectoryEntry } from './debugfs-output.ts';

export interface ReadOptions {
  signal?: AbortSignal | undefined;
}

export interface ReadFileOptions extends ReadOptions {
  /** Largest file to return, in bytes. */
  maxBytes: number;
}

/** An ext4 drive opened for reading; dispose of it to remove the private copy. */
export interface OpenDrive extends AsyncDisposable {
  /** Content of a regular file, or undefined where the path names nothing. Links are not followed. */
  readFile(path: string, maxBytes: number): Promise<Buffer | undefined>;
  /** Entries of a folder, without `.` and `..`, in the drive's order; undefined where there is none. */
  list(folder: string): Promise<DirectoryEntry[] | undefined>;
}

const rootInode = 2;
/** Bounds on a hostile drive: bytes that debugfs may print, and time that it may take. */
const limits = { maxBuffer: 16 * 2 ** 20, timeout: 60_000 };

/**
 * Opens a qcow2 drive with ext4 on the whole of it, without mounting, root or nbd. The drive may be hostile: it is
 * copied to a sparse private file, and files are taken out of it by inode number, never by a name that it chose.
 * A drive that a VM has open may be read; what is seen then is a moment's state.
 * @throws UserError where it is no such drive.
 */
export async function openDrive(drive: string, { signal }: ReadOptions = {}): Promise<OpenDrive> {
  const { virtualBytes } = await readQcow2Header(drive);
  const dataBytes = await allocatedBytes(drive, signal);
  const work = await workDirectory({ bytes: dataBytes });
  try {
    const { bavail, bsize } = await statfs(work.path);
    if (dataBytes > bavail * bsize) {
      throw new UserError(
        `cannot read drive ${drive}: its ${dataBytes} bytes of data do not fit ${work.path}`,
        {
          hint: 'set TMPDIR to a folder with more free space',
        },
      );
    }
    const raw = join(work.path, 'drive.raw');
    // -U: a drive that a running VM has locked may be read; nothing is written to it.
    await run('qemu-img', ['convert', '-U', '-f', 'qcow2', '-O', 'raw', '--', drive, raw], { signal });
    await checkFileSystem(drive, raw, virtualBytes, signal);
    return openRaw(drive, raw, work, signal);
  } catch (error) {
    await work[Symbol.asyncDispose]();
    throw error;
  }
}

/** Bytes of data that a conversion would write; a small file can describe any number of them. */
async function allocatedBytes(drive: string, signal: AbortSignal | undefined): Promise<number> {
  const args = ['measure', '-U', '--output=json', '-f', 'qcow2', '-O', 'qcow2', drive];
  const { required } = JSON.parse(await run('qemu-img', args, { signal })) as { required: number };
  return required;
}

/** Refuses what is not ext4, and replays the journal where the VM stopped without closing the file system. */
async function checkFileSystem(
  drive: string,
  raw: string,
  virtualBytes: number,
  signal: AbortSignal | undefined,
): Promise<void> {
  const statistics = await debugfs(raw, 'show_super_stats -h', { signal }).catch((error: unknown) => {
    if (signal?.aborted) throw error;
    return '';
  });
  const features = /^Filesystem features: +(.*)$/m.exec(statistics)?.[1]?.split(' ');
  if (features === undefined) {
    throw new UserError(
      `cannot read drive ${drive}: there is no ext4 file system on its ${virtualBytes} bytes`,
    );
  }
  if (features.includes('needs_recovery')) {
    // A journal that does not replay is no reason to show nothing: what the blocks hold is read as it stands.
    await start('debugfs', ['-w', '-R', 'journal_run', raw], { signal }, limits).catch(() =>
      signal?.throwIfAborted(),
    );
  }
}

async function debugfs(raw: string, request: string, options: RunOptions): Promise<string> {
  const args = ['-R', request, raw];
  const settings = { ...options, env: { DEBUGFS_PAGER: '__none__' } };
  try {
    const { stdout, stderr } = await start('debugfs', args, settings, {
      ...limits,
      encoding: 'latin1' as const,
    });
    const complaint = String(stderr).split('\n').slice(1).join(' | ');
    if (complaint !== '') throw new UserError(`debugfs ended with: ${complaint}`);
    return String(stdout);
  } catch (error) {
    throw toolError('debugfs', args, error, options);
  }
}

function openRaw(
  drive: string,
  raw: string,
  work: AsyncDisposable & { path: string },
  signal?: AbortSignal,
): OpenDrive {
  const cannot = (path: string, cause: string) =>
    new UserError(`cannot read ${path} from drive ${drive}: ${cause}`);

  async function entriesOf(inode: number): Promise<DirectoryEntry[]> {
    return parseListing(await debugfs(raw, `ls -p <${inode}>`, { signal }));
  }

  /** Walks the path by inode numbers; every folder on the way must be a real one. */
  async function find(path: string): Promise<number | undefined> {
    let inode = rootInode;
    let kind: DirectoryEntry['kind'] = 'folder';
    for (const name of path.split('/').filter((part) => part !== '')) {
      if (kind !== 'folder') return undefined;
      const entry = (await entriesOf(inode)).find((candidate) => candidate.name === name);
      if (entry === undefined) return undefined;
      ({ inode, kind } = entry);
    }
    return inode;
  }

  const status = async (inode: number) => parseStat(await debugfs(raw, `stat <${inode}>`, { signal }));

  return {
    async list(folder) {
      const inode = await find(folder);
      if (inode === undefined) return undefined;
      if ((await status(inode)).type !== 'directory') throw cannot(folder, 'it is not a folder');
      return await entriesOf(inode);
    },

    async readFile(path, maxBytes) {
      const inode = await find(path);
      if (inode === undefined) return undefined;
      const { type, size } = await status(inode);
      if (type !== 'regular') throw cannot(path, `it is not a regular file (${type})`);
      if (size > maxBytes) throw cannot(path, `it has ${size} bytes, more than ${maxBytes}`);
      const copy = join(work.path, 'file');
      try {
        // A relative name under our own folder: debugfs would split a path with blanks.
        await debugfs(raw, `dump <${inode}> file`, { signal, cwd: work.path });
        return await readFile(copy);
      } catch (error) {
        if (error instanceof UserError) throw cannot(path, messageOf(error));
        throw error;
      } finally {
        await rm(copy, { force: true });
      }
    },

    [Symbol.asyncDispose]: () => work[Symbol.asyncDispose](),
  } satisfies OpenDrive;
}

/** One file out of a drive; {@link openDrive}. Undefined where the path names nothing. */
export async function readDriveFile(
  drive: string,
  path: string,
  { maxBytes, signal }: ReadFileOptions,
): Promise<Buffer | undefined> {
  await using opened = await openDrive(drive, { signal });
  return await opened.readFile(path, maxBytes);
}

/** One folder of a drive; {@link openDrive}. Undefined where the path names nothing. */
export async function listDrive(
  drive: string,
  folder: string,
  options: ReadOptions = {},
): Promise<DirectoryEntry[] | undefined> {
  await using opened = await openDrive(drive, options);
  return await opened.list(folder);
}

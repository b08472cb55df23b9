import { createHash } from 'node:crypto';
import { chmodSync, readdirSync, readFileSync, readlinkSync, rmSync } from 'node:fs';
import { access, constants, lstat, readdir, realpath, statfs } from 'node:fs/promises';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { dir } from 'tmp-promise';
import { messageOf, UserError } from './errors.ts';

/** A private folder that vanishes with its scope: `await using work = await workDirectory()`. */
export interface WorkDirectory extends AsyncDisposable {
  /** Absolute path; mode 0700, owned by this user. */
  readonly path: string;
  /** True where the folder lies in memory. */
  readonly onTmpfs: boolean;
}

export interface WorkDirectoryOptions {
  /** Bytes expected to lie in it at once; decides between memory and disk. 64 MiB unless told otherwise. */
  bytes?: number;
  /** Folder to use where memory does not do; `$TMPDIR` or `/tmp` unless told otherwise. */
  base?: string;
}

const prefix = 'cvm-builder';
const memoryFolder = '/dev/shm';
/** `f_type` of statfs(2) for tmpfs: TMPFS_MAGIC of linux/magic.h. */
const tmpfsMagic = 0x01021994;

const live = new Set<string>();
let removedAtExit = false;
const swept = new Set<string>();

/**
 * Makes a folder for work files that may hold plaintext or keys: mode 0700, a random name, in memory where twice
 * the expected bytes are free, else on disk. It is removed when disposed of and when the process exits.
 * The first call for each parent folder also removes what killed builds of this user left there.
 * @throws UserError where no folder can be made.
 */
export async function workDirectory(options: WorkDirectoryOptions = {}): Promise<WorkDirectory> {
  const onTmpfs = await fitsInMemory(options.bytes ?? 64 * 2 ** 20);
  const disk = options.base ?? tmpdir();
  const parent = onTmpfs ? memoryFolder : disk;
  try {
    for (const folder of new Set([memoryFolder, disk])) await sweepOnce(folder);
    // Mode 0700, a random name, never an existing folder; removed below, on every way out.
    const made = await dir({ tmpdir: parent, prefix: ownPrefix(), mode: 0o700, keep: true });
    const path = await realpath(made.path);
    if (!removedAtExit) process.once('exit', removeLive);
    removedAtExit = true;
    live.add(path);
    return {
      path,
      onTmpfs,
      async [Symbol.asyncDispose]() {
        removeTree(path);
        live.delete(path);
      },
    };
  } catch (error) {
    throw new UserError(`cannot make a work folder in ${parent}: ${messageOf(error)}`, {
      hint: 'set TMPDIR to a folder that you may write to',
      cause: error,
    });
  }
}

/** True where /dev/shm and the machine's memory hold twice the bytes. */
async function fitsInMemory(bytes: number): Promise<boolean> {
  return bytes * 2 <= (await freeMemory());
}

/** Bytes that files in /dev/shm may still take: 0 where it is no tmpfs of ours to write to. */
export async function freeMemory(): Promise<number> {
  try {
    const found = await statfs(memoryFolder);
    await access(memoryFolder, constants.W_OK);
    if (found.type !== tmpfsMagic) return 0;
    return Math.min(found.bavail * found.bsize, process.availableMemory());
  } catch {
    return 0;
  }
}

function removeLive(): void {
  for (const path of live) {
    try {
      removeTree(path);
    } catch {
      // The process is ending; the next build's sweep takes what is left.
    }
  }
}

/** Removes a tree, also where a folder in it lacks the permissions its owner needs to empty it. */
function removeTree(path: string): void {
  try {
    rmSync(path, { recursive: true, force: true });
  } catch {
    openUp(path);
    rmSync(path, { recursive: true, force: true });
  }
}

function openUp(folder: string): void {
  chmodSync(folder, 0o700);
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    if (entry.isDirectory()) openUp(join(folder, entry.name));
  }
}

/**
 * `cvm-builder-<place>-<pid>-<life>`, to which tmp adds the process id and random characters. Place tells machines and containers apart that share a folder, so that no
 * build sweeps another's files because it cannot see its process; life tells a process from an earlier one with the same id.
 */
function ownPrefix(): string {
  return `${prefix}-${place()}-${process.pid}-${lifeOf(process.pid)}`;
}

const namePattern = new RegExp(`^${prefix}-([0-9a-f]{8})-(\\d+)-([0-9a-f]{8})-\\d+-\\w+$`);

function shortHash(text: string): string {
  return createHash('sha256').update(text).digest('hex').slice(0, 8);
}

function place(): string {
  return shortHash(`${hostname()} ${readlinkSync('/proc/self/ns/pid')}`);
}

/** Names one life of a process id: boot and start time (field 22 of proc(5) stat); undefined where there is none. */
function lifeOf(pid: number): string | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
    // The second field is the program's name in brackets and may hold anything, so count from the last bracket.
    const startTime = stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19];
    return shortHash(`${readFileSync('/proc/sys/kernel/random/boot_id', 'latin1').trim()} ${startTime}`);
  } catch {
    return undefined;
  }
}

async function sweepOnce(folder: string): Promise<void> {
  if (swept.has(folder)) return;
  swept.add(folder);
  await sweepLeftovers(folder);
}

/**
 * Removes work folders in `folder` that belong to this user and whose process is gone. Never follows a link;
 * what cannot be removed stays. Returns the paths removed.
 */
export async function sweepLeftovers(folder: string): Promise<string[]> {
  const removed: string[] = [];
  const names = await readdir(folder).catch(() => []);
  for (const name of names) {
    const [, itsPlace, pid, life] = namePattern.exec(name) ?? [];
    if (itsPlace !== place() || lifeOf(Number(pid)) === life) continue;
    const path = join(folder, name);
    const found = await lstat(path).catch(() => undefined);
    if (!found?.isDirectory() || found.uid !== process.getuid?.()) continue;
    try {
      removeTree(path);
      removed.push(path);
    } catch {
      // Removed meanwhile by another build, or not removable.
    }
  }
  return removed;
}

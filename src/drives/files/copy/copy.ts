import { stat, statfs } from 'node:fs/promises';
import { basename, dirname, resolve } from 'node:path';
import { messageOf, UserError } from '../../../host/errors.ts';
import { fileType } from '../../../host/ext4/inode.ts';
import { openRegularFile } from '../../../host/files.ts';
import type { Owner } from '../attributes.ts';
import { onDrive } from '../malformed.ts';
import { findExisting, findPlace } from '../place.ts';
import { lookupIn, openFiles } from '../read-files.ts';
import { DriveEditor } from '../write/editor.ts';
import { copyIn } from './in.ts';
import { copyOut, planCopyOut } from './out.ts';
import { planCopy } from './plan.ts';
import { openSource, readSourceBytes } from './source-content.ts';
import { readSource, type SourceEntry } from './source-tree.ts';
import { compareContent } from './verify.ts';

export interface CopyOptions {
  recursive: boolean;
  /** Compare every file afterwards, byte by byte. */
  verify: boolean;
  owner?: Owner | undefined;
  /** Told how far the copy is, in bytes. */
  progress: (phase: 'copying' | 'verifying', done: number, total: number) => void;
  warn: (text: string) => void;
  signal?: AbortSignal | undefined;
}

export interface CopyResult {
  files: number;
  /** Of content that was copied now. */
  bytes: number;
  /** Files that were there already. */
  alike: number;
}

/**
 * Copies files and folders of this machine to a drive.
 * @param to a folder of the drive, or where there is one source the name that it gets
 * @throws UserError
 */
export async function copyToDrive(
  sources: readonly string[],
  drive: string,
  to: string,
  options: CopyOptions,
): Promise<CopyResult> {
  const { signal, warn, recursive, progress } = options;
  return await onDrive('write to', drive, async () => {
    const entries: SourceEntry[] = [];
    for (const source of sources) {
      const path = resolve(source);
      const name = Buffer.from(basename(path)).toString('latin1');
      if (path === '/') throw new UserError('cannot copy /: name the folders that are to be copied');
      const entry = await readSource(Buffer.from(path), name, { recursive, warn, signal });
      if (entry !== undefined) entries.push(entry);
    }
    await using editor = await DriveEditor.open(drive, signal);
    const place = await findPlace(drive, editor, to);
    let into = place.inode;
    if (into?.type !== fileType.directory) {
      const [only] = entries;
      if (entries.length > 1 || only === undefined || place.parent === undefined || to.endsWith('/'))
        throw new UserError(`cannot copy to ${to} on drive ${drive}: there is no such folder`);
      only.name = place.name;
      into = place.parent;
    }
    requireDistinct(entries);
    const plan = await planCopy(editor, into, entries);
    const { superblock } = editor;
    const free = superblock.freeBlocks * superblock.blockSize;
    const full = (cause: string) =>
      new UserError(`cannot copy to drive ${drive}: ${cause}`, {
        hint: `cvm drive resize ${drive} makes it larger, while its VM is stopped`,
      });
    // Lists of blocks: one block names some 340 runs.
    if (plan.blocks + Math.ceil(plan.steps.length / 16) > superblock.freeBlocks)
      throw full(`${plan.bytes} bytes do not fit the ${free} that are free`);
    if (plan.inodes > superblock.freeInodes)
      throw full(
        `${plan.inodes} files and folders are more than the ${superblock.freeInodes} that it can take`,
      );
    await requireHostSpace(drive, plan.bytes);
    let done = 0;
    const onBytes = (count: number) => {
      done += count;
      progress('copying', done, Math.max(done, plan.bytes));
    };
    const written = await copyIn(editor, plan, { owner: options.owner, onBytes, signal });
    if (options.verify) {
      const all = [...written, ...plan.alike.map(({ entry, inode }) => ({ entry, inode: inode.number }))];
      const total = all.reduce((sum, { entry }) => sum + Number(entry.stat.size), 0);
      let verified = 0;
      const onVerified = (count: number) => {
        verified += count;
        progress('verifying', verified, total);
      };
      for (const { entry, inode } of all) {
        await using source = await openSource(entry);
        const read = (offset: number, length: number) => readSourceBytes(source.handle, offset, length);
        await compareContent(
          editor.files,
          await editor.inode(inode),
          { path: entry.path, read, size: Number(entry.stat.size) },
          { signal, onBytes: onVerified },
        );
      }
    }
    // Whole blocks were written, of a file's last one as well.
    const length = written.reduce((sum, { entry }) => sum + Number(entry.stat.size), 0);
    return { files: written.length, bytes: Math.min(done, length), alike: plan.alike.length };
  });
}

function requireDistinct(entries: readonly SourceEntry[]): void {
  const names = new Set<string>();
  for (const { name, path } of entries) {
    if (names.has(name)) throw new UserError(`cannot copy ${path}: another source has the same name`);
    names.add(name);
  }
}

async function requireHostSpace(drive: string, bytes: number): Promise<void> {
  const { bavail, bsize } = await statfs(dirname(resolve(drive)));
  if (bytes <= bavail * bsize) return;
  throw new UserError(
    `cannot copy to drive ${drive}: its file may grow by ${bytes} bytes, and ${bavail * bsize} are free where it lies`,
    { hint: 'make room there, or move the drive' },
  );
}

/**
 * Copies files and folders of a drive to this machine. The drive is only read.
 * @param from paths on the drive
 * @param to a folder, or where there is one source the name that it gets
 * @throws UserError
 */
export async function copyFromDrive(
  drive: string,
  from: readonly string[],
  to: string,
  options: CopyOptions,
): Promise<CopyResult> {
  const { signal, warn, progress } = options;
  return await onDrive('read', drive, async () => {
    await using files = await openFiles(drive, signal);
    const intoFolder = (await stat(to).catch(() => undefined))?.isDirectory() ?? false;
    if (!intoFolder && (from.length > 1 || to.endsWith('/')))
      throw new UserError(`cannot copy to ${to}: there is no such folder`);
    const plans = [];
    for (const path of from) {
      const { inode, name } = await findExisting(drive, lookupIn(files.ext4), path);
      if (inode.type === fileType.directory && !options.recursive)
        throw new UserError(`cannot copy ${path}: it is a folder`, { hint: 'copy folders with -r' });
      const target =
        intoFolder && name !== ''
          ? Buffer.concat([Buffer.from(`${resolve(to)}/`), Buffer.from(name, 'latin1')])
          : Buffer.from(resolve(to));
      plans.push(await planCopyOut(files, inode, target, { warn, signal }));
    }
    const total = plans.reduce((sum, { bytes }) => sum + bytes, 0);
    let done = 0;
    const onBytes = (count: number) => {
      done += count;
      progress('copying', done, total);
    };
    for (const plan of plans) await copyOut(files, plan, { owner: options.owner, onBytes, warn, signal });
    const copied = plans
      .flatMap(({ targets }) => targets)
      .filter(({ inode }) => inode.type === fileType.regular);
    if (options.verify) {
      const size = copied.reduce((sum, { inode }) => sum + inode.size, 0);
      let verified = 0;
      const onVerified = (count: number) => {
        verified += count;
        progress('verifying', verified, size);
      };
      for (const { path, inode } of copied) {
        await using handle = await openRegularFile(path).catch((error: unknown) => {
          throw new UserError(`cannot verify ${path}: ${messageOf(error)}`);
        });
        const read = (offset: number, length: number) => readSourceBytes(handle, offset, length);
        await compareContent(
          files,
          inode,
          { path, read, size: (await handle.stat()).size },
          { signal, onBytes: onVerified },
        );
      }
    }
    return { files: copied.length, bytes: done, alike: 0 };
  });
}

import { lstat } from 'node:fs/promises';
import { exitStatus, hasCode, messageOf, UserError } from '../../host/errors.ts';
import { lockFile } from '../../host/lock.ts';
import { run } from '../../host/run.ts';
import { readQcow2Header } from '../qcow2-header.ts';
import { copyWorkspace } from './copy.ts';
import { exportByFuse, exportByKernel, fuseUsable, kernelNbdUsable, MountRefused } from './export.ts';
import {
  checkFileSystem,
  minimumBytes,
  readFileSystem,
  requireWhole,
  setSize,
  usedBeyond,
} from './file-system.ts';
import { lockImage } from './image-lock.ts';
import { mergeOverlay, overlayWorkspace } from './overlay.ts';
import { freeBytes, type Place, placeOf, requireSpace } from './place.ts';
import { parseSize, type SizeRequest, sizeText, targetBytes } from './size.ts';
import { findUnfinished, removeLeftovers, removeRecord, type Unfinished, writeRecord } from './unfinished.ts';
import type { Workspace } from './workspace.ts';

/** How the drive's bytes are reached: through FUSE, a device of the kernel, or a copy. */
export type ResizeMethod = 'fuse' | 'kernel-nbd' | 'copy';

/** What a manifest beside the drive says of it. */
export interface Listing {
  /** True where the manifest lists the drive exactly as it is now. */
  isListed(): Promise<boolean>;
  /** Lists the given file in the drive's place. */
  list(file: string): Promise<void>;
}

export interface ResizeOptions {
  /** `21G`, `+20G`, `-5G`. */
  size: string;
  /** Check everything, and say what would be done. */
  dryRun?: boolean;
  /** Let e2fsck repair what it would ask about. */
  repair?: boolean;
  /** FUSE where it can be used, else a copy, unless told otherwise. */
  method?: ResizeMethod | undefined;
  /** For drives that the manifest takes as unchanging. */
  listing?: Listing | undefined;
  /** Told what is being done, one clause each. */
  note?: (text: string) => void;
  signal?: AbortSignal | undefined;
}

/** Sizes in bytes. */
export interface ResizeResult {
  /** `completed`: an earlier run was cut short, and this one did the rest of it, not what was asked for on top. */
  outcome: 'resized' | 'would resize' | 'unchanged' | 'completed' | 'would complete';
  from: number;
  to: number;
}

/**
 * Grows or shrinks a plain drive with its file system. At every moment the drive's name leads to a whole drive, of the old or the new
 * size, whatever kills this process or fills the disk; a second run completes it.
 * @throws UserError where it is in use, no plain ext4 drive, or there is no room: in it or for the work.
 */
export async function resizeDrive(path: string, options: ResizeOptions): Promise<ResizeResult> {
  const { note = () => {}, signal, dryRun = false } = options;
  const request = parseSize(options.size);
  const place = await placeOf(path);
  // Against another resize in this folder: leftovers must be nobody's. The drive's inode changes, so the folder is locked.
  await using _folder = await lockFile(place.folder, { timeoutMs: 5000, signal });
  const unfinished = await findUnfinished(place);
  const { record } = unfinished;
  if (unfinished.state !== 'fresh') {
    const done = await complete(place, unfinished, options);
    // The rest of an earlier "+20G" must not be followed by another 20 GB.
    const enough = unfinished.state === 'merge' && request.bytes === done.to;
    if (dryRun || request.kind === 'relative' || enough) return done;
    note(`an earlier resize to ${sizeText(done.to)} is completed`);
  }
  const header = await readQcow2Header(place.drive);
  requireNoSnapshots(place, header.snapshots);
  await using lock = await lockImage(place.drive, signal);
  await removeLeftovers(place);
  await requireOneName(place);
  await requireSpace(place, 0);
  await checkImage(place, signal);

  const from = header.virtualBytes;
  const to = targetBytes(request, from);
  const listed = record?.listed ?? (await options.listing?.isListed()) ?? false;
  const { workspace } = await openWorkspace(place, Math.max(from, to), options);
  await using _workspace = workspace;
  const decided = await resizeFileSystem(place, workspace, { from, to, request }, options);
  if (decided === 'nothing') {
    await removeRecord(place);
    return { outcome: 'unchanged', from, to };
  }
  if (dryRun) return { outcome: 'would resize', from, to };
  if (to < from) await workspace.setSize(to);
  await verify(place, workspace, to, signal);
  await workspace.prepare();
  signal?.throwIfAborted();
  await writeRecord(place, { from, to, listed });
  note('putting the new drive in place');
  await workspace.install(lock, listBefore(options, listed));
  await removeRecord(place);
  return { outcome: 'resized', from, to };
}

/** Does what an earlier run had left to do. */
async function complete(
  place: Place,
  { state, record }: Unfinished,
  options: ResizeOptions,
): Promise<ResizeResult> {
  const { virtualBytes: to } = await readQcow2Header(place.drive, place.backingName);
  const sizes = { from: record?.from ?? to, to };
  if (options.dryRun) return { outcome: 'would complete', ...sizes };
  options.note?.('completing an earlier resize that was cut short');
  if (state === 'merge') await mergeOverlay(place, listBefore(options, record?.listed ?? false));
  await removeRecord(place);
  return { outcome: 'completed', ...sizes };
}

/** Keeps the manifest true: it lists the finished drive before the drive gets its name, and a later run does it again. */
function listBefore({ listing }: ResizeOptions, listed: boolean) {
  return async (finished: string) => {
    if (listed) await listing?.list(finished);
  };
}

async function openWorkspace(
  place: Place,
  bytes: number,
  { method, note = () => {}, signal }: ResizeOptions,
): Promise<{ workspace: Workspace }> {
  if (method === 'kernel-nbd' && !(await kernelNbdUsable())) {
    throw new UserError("cannot use the kernel's nbd devices: this needs root, and the module nbd", {
      hint: 'sudo modprobe nbd; or leave out --kernel-nbd, which needs neither',
      status: exitStatus.usage,
    });
  }
  if (method === 'copy') return { workspace: await copyWorkspace(place, signal) };
  if (method === undefined && !(await fuseUsable())) {
    note('FUSE cannot be used here: working on a copy');
    return { workspace: await copyWorkspace(place, signal) };
  }
  const exporter = method === 'kernel-nbd' ? exportByKernel : exportByFuse;
  let workspace: Workspace | undefined;
  try {
    workspace = await overlayWorkspace(place, bytes, exporter, signal);
    // Whether anything can be mounted here is known only once it was tried.
    const tried = await workspace.open({ readOnly: true });
    await tried[Symbol.asyncDispose]();
    return { workspace };
  } catch (error) {
    await workspace?.[Symbol.asyncDispose]();
    const noLinks = ['EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'EMLINK', 'ENOSYS'].some((code) =>
      hasCode(error, code),
    );
    if (method !== undefined || !(error instanceof MountRefused || noLinks)) throw error;
    note(`${noLinks ? 'the folder has no hard links' : 'FUSE cannot be used here'}: working on a copy`);
    return { workspace: await copyWorkspace(place, signal) };
  }
}

interface Change {
  from: number;
  to: number;
  request: SizeRequest;
}

/** Checks the file system in the workspace and gives it its size, unless this is a dry run or it has it. */
async function resizeFileSystem(
  place: Place,
  workspace: Workspace,
  { from, to, request }: Change,
  { dryRun = false, repair = false, note = () => {}, signal }: ResizeOptions,
): Promise<'resize' | 'nothing'> {
  if (to > from) await workspace.setSize(to);
  await using shown = await workspace.open();
  const subject = { drive: place.drive, path: shown.path, signal };
  await readFileSystem(subject, from);
  note('checking the file system');
  if (await checkFileSystem(subject, repair))
    note('e2fsck repaired it: it was not closed cleanly, had faults, or had no lost+found');
  // Read again: a replayed journal may change it.
  const present = await readFileSystem(subject, from);
  if (to === from && present.bytes > to - present.blockBytes) return 'nothing';
  if (to < present.bytes) {
    const minimum = await minimumBytes(subject, present);
    if (to < minimum) {
      const least = sizeText(Math.ceil(minimum / 2 ** 20) * 2 ** 20);
      throw new UserError(`cannot resize ${place.drive} to ${sizeText(to)}: what lies on it needs ${least}`, {
        hint: `${request.text} is too small; remove files, or ask for at least ${least}`,
      });
    }
    // Once in the workspace, once in the drive.
    await requireSpace(place, 2 * (await usedBeyond(subject, present, to)));
  } else {
    await requireSpace(place, 2 * growthBytes(to - present.bytes, present.blockBytes));
    const free = await freeBytes(place.folder);
    if (to - present.usedBytes > free)
      note(
        `once it is filled, the drive takes up to ${sizeText(to)}; ${place.folder} has ${Math.floor(free / 2 ** 20)} MiB free`,
      );
  }
  if (dryRun) return 'resize';
  note(`resizing the file system to ${sizeText(to)}`);
  await setSize(subject, Math.floor(to / present.blockBytes) * present.blockBytes);
  return 'resize';
}

/** Metadata of so many new bytes, an upper bound: bitmaps, descriptors and their copies. Inode tables are zeros, which take nothing. */
function growthBytes(bytes: number, blockBytes: number): number {
  const groups = Math.ceil(bytes / (8 * blockBytes * blockBytes));
  return 4 * 2 ** 20 + groups * 32 * 2 ** 10;
}

/** The new drive, opened anew: what cannot be read back was never written. */
async function verify(
  place: Place,
  workspace: Workspace,
  to: number,
  signal: AbortSignal | undefined,
): Promise<void> {
  await using shown = await workspace.open({ readOnly: true });
  const subject = { drive: place.drive, path: shown.path, signal };
  await requireWhole(subject);
  const { bytes, blockBytes } = await readFileSystem(subject, to);
  if (bytes <= to - blockBytes)
    throw new Error(`resize2fs gave ${place.drive} ${bytes} bytes in place of ${to}`);
}

function requireNoSnapshots({ drive }: Place, snapshots: number): void {
  if (snapshots === 0) return;
  throw new UserError(`cannot resize ${drive}: it holds ${snapshots} internal snapshots of another size`, {
    hint: `qemu-img snapshot -l ${drive} lists them, qemu-img snapshot -d NAME ${drive} deletes one`,
  });
}

/** Other names of the file would see it change half way. */
async function requireOneName({ drive }: Place): Promise<void> {
  const { nlink } = await lstat(drive);
  if (nlink === 1) return;
  throw new UserError(`cannot resize ${drive}: it has ${nlink} names (hard links)`, {
    hint: 'make a copy of its own for the bundle: cp --sparse=always',
  });
}

/** @throws UserError where the qcow2 file itself is damaged. Clusters that belong to nothing are harmless. */
async function checkImage({ drive }: Place, signal: AbortSignal | undefined): Promise<void> {
  // -U: we hold the lock ourselves.
  await run('qemu-img', ['check', '-q', '-U', '-f', 'qcow2', drive], { signal }).catch((error: unknown) => {
    signal?.throwIfAborted();
    if (/ended with status 3\b/.test(messageOf(error))) return;
    throw new UserError(`cannot resize ${drive}: the qcow2 file is damaged: ${messageOf(error)}`, {
      hint: `copy it; then qemu-img check -r all ${drive} repairs what it can`,
      cause: error,
    });
  });
}

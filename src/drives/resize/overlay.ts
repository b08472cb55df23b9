import { chmod, chown, link, rename, rm, stat } from 'node:fs/promises';
import { messageOf, UserError } from '../../host/errors.ts';
import { run } from '../../host/run.ts';
import { readQcow2Header } from '../qcow2-header.ts';
import { type Exporter, optionValue } from './export.ts';
import { inUse, saysLocked } from './image-lock.ts';
import { type Place, requireSpace, syncToDisk } from './place.ts';
import type { Workspace } from './workspace.ts';

/*
 * A resize in steps that each leave a whole drive under the drive's name:
 *
 *   1. base: a second name of the drive (a hard link). next: an empty overlay of base.
 *   2. Check and resize the file system in next. The drive itself is only read.
 *   3. Rename next over the drive. It is the new drive from now on; what did not change it reads from base.
 *   4. Write what next holds into base. Whatever of base is overwritten meanwhile, next hides.
 *   5. Rename base over the drive: one plain file again.
 *
 * Before 3 the drive is untouched; a later run throws the overlay away. After 3 a later run goes on with 4, which may be
 * done again at any point: a VM that started in between wrote to next. Only changed blocks take space twice.
 */

/** Makes the overlay of step 1. @throws where the folder's file system has no hard links. */
export async function overlayWorkspace(
  place: Place,
  bytes: number,
  exporter: Exporter,
  signal: AbortSignal | undefined,
): Promise<Workspace> {
  const { drive, base, next, backingName } = place;
  const { mode, uid, gid } = await stat(drive);
  let installed = false;
  const remove = async () => {
    if (installed) return;
    await rm(next, { force: true });
    await rm(base, { force: true });
  };
  try {
    await link(drive, base);
    const backing = ['-u', '-F', 'qcow2', '-b', backingName];
    await run('qemu-img', ['create', '-q', '-f', 'qcow2', ...backing, next, String(bytes)], { signal });
    await chmod(next, mode & 0o777);
    if (process.getuid?.() === 0) await chown(next, uid, gid);
  } catch (error) {
    await remove();
    throw error;
  }
  // We hold the lock of the drive ourselves, so nobody changes it: force-share is safe.
  const files = [
    `driver=qcow2,file.driver=file,file.filename=${optionValue(next)}`,
    'backing.driver=qcow2,backing.force-share=on',
    `backing.file.driver=file,backing.file.filename=${optionValue(base)}`,
  ];
  const readOptions = files.join(',');
  // Zeros, such as new inode tables, take no space.
  const writeOptions = [...files, 'discard=unmap', 'detect-zeroes=unmap'].join(',');
  return {
    open: ({ readOnly = false } = {}) =>
      exporter(readOnly ? readOptions : writeOptions, { readOnly, signal }),
    async setSize(bytes) {
      const args = ['resize', '-q', '--shrink', '--image-opts', readOptions, String(bytes)];
      await run('qemu-img', args, { signal });
    },
    async prepare() {
      await syncToDisk(next);
      await requireSpace(place, (await stat(next)).blocks * 512);
    },
    async install(lock, before) {
      await rename(next, drive);
      installed = true;
      await syncToDisk(place.folder);
      // qemu-img needs the lock itself. A VM that starts now opens the overlay, and keeps qemu-img out until it ends.
      await lock[Symbol.asyncDispose]();
      await mergeOverlay(place, before);
    },
    [Symbol.asyncDispose]: remove,
  };
}

/**
 * Steps 4 and 5, from wherever they were left.
 * @throws UserError where base is not as we left it, a VM runs, or the disk is full; the drive stays whole.
 */
export async function mergeOverlay(place: Place, before: (finished: string) => Promise<void>): Promise<void> {
  const { drive, base, backingName } = place;
  const { virtualBytes: present } = await readQcow2Header(base);
  const { virtualBytes: wanted } = await readQcow2Header(drive, backingName);
  // Formats are given, never taken from a header that a host may have written.
  const overlay = [
    `driver=qcow2,file.driver=file,file.filename=${optionValue(drive)}`,
    `backing.driver=qcow2,backing.file.driver=file,backing.file.filename=${optionValue(base)}`,
  ].join(',');
  const unlessKilled = { endWithParent: 'SIGKILL' } as const;
  await explainFailure(drive, async () => {
    // -d: the overlay keeps its content, so that this can be done again.
    await run('qemu-img', ['commit', '-q', '-d', '--image-opts', overlay], unlessKilled);
    if (wanted < present) {
      const shrink = ['resize', '-q', '--shrink', '-f', 'qcow2', base, String(wanted)];
      await run('qemu-img', shrink, unlessKilled);
    }
    // A merge that was killed leaves clusters that belong to nothing.
    await run('qemu-img', ['check', '-q', '-f', 'qcow2', '-r', 'leaks', base], unlessKilled);
    await syncToDisk(base);
    await before(base);
  });
  await rename(base, drive);
  await syncToDisk(place.folder);
}

async function explainFailure(drive: string, work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } catch (error) {
    const details = ['The drive is whole and has its new size; the rest of the work is left to do.'];
    const locked = saysLocked(messageOf(error));
    throw new UserError(locked ? inUse(drive).message : messageOf(error), {
      hint: `${locked ? 'stop the VM' : 'make room'}, and run the same command again`,
      details,
      cause: error,
    });
  }
}

import { access, constants, mkdir, readdir, readFile, realpath } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { ResultPromise } from 'execa';
import { messageOf, UserError } from '../host/errors.ts';
import { start, toolError } from '../host/run.ts';
import { workDirectory } from '../host/temp.ts';
import { findTool } from '../host/tools.ts';
import { onDrive } from './files/malformed.ts';
import { DriveEditor } from './files/write/editor.ts';
import { serveDrive } from './serve.ts';

export interface MountOptions {
  write: boolean;
  /** Told once the drive is mounted. */
  mounted: () => void;
  /** Ends the mount. */
  signal: AbortSignal;
}

/**
 * Mounts a drive in user space: qemu-nbd serves it, nbdfuse shows that as a file, fuse2fs mounts the file; the kernel parses none of it.
 * Returns after the signal, when everything is written and unmounted.
 * @throws UserError where it cannot be mounted, or one of the programs ended by itself
 */
export async function mountDrive(drive: string, folder: string, options: MountOptions): Promise<void> {
  const { write, signal } = options;
  const cannot = (cause: string, hint?: string) =>
    new UserError(`cannot mount drive ${drive}: ${cause}`, hint === undefined ? {} : { hint });
  await access('/dev/fuse', constants.R_OK | constants.W_OK).catch(() => {
    throw cannot(
      'this machine has no /dev/fuse for this account',
      'cvm drive ls, cat, cp and rm work without it',
    );
  });
  for (const tool of ['nbdfuse', 'fuse2fs', 'fusermount3'] as const) findTool(tool);
  const place = await realpath(folder).catch((error: unknown) => {
    throw cannot(messageOf(error), `make the folder: mkdir ${folder}`);
  });
  const names = await readdir(place).catch((error: unknown) => {
    throw cannot(messageOf(error));
  });
  if (names.length > 0) throw cannot(`${folder} is not empty`, 'name an empty folder');
  // Replays the journal, and refuses what is not plain ext4: fuse2fs writes without a journal.
  if (write)
    await onDrive('write to', drive, async () =>
      (await DriveEditor.open(drive, signal))[Symbol.asyncDispose](),
    );

  await using stack = new AsyncDisposableStack();
  const { socket } = stack.use(await serveDrive(drive, { writable: write, outlives: write, signal }));
  const work = stack.use(await workDirectory({ bytes: 0 }));
  const outer = join(work.path, 'nbd');
  await mkdir(outer, { mode: 0o700 });
  const image = join(outer, 'drive');
  const ended: Promise<unknown>[] = [];
  await startMount('nbdfuse', [...(write ? [] : ['-r']), image, '--unix', socket], outer);
  const mode = `${write ? 'rw' : 'ro'},fakeroot,nosuid,nodev,noexec,fsname=cvm-drive`;
  await startMount('fuse2fs', [image, place, '-f', '-o', mode], place);
  options.mounted();
  const { promise: aborted, resolve } = Promise.withResolvers<void>();
  signal.addEventListener('abort', () => resolve(), { once: true });
  if (signal.aborted) resolve();
  const first = await Promise.race([aborted.then(() => 'aborted'), ...ended]);
  if (first !== 'aborted')
    throw cannot('it was unmounted by somebody else, or the program that serves it ended');

  async function startMount(tool: 'nbdfuse' | 'fuse2fs', args: string[], at: string): Promise<void> {
    // In a process group of its own: Ctrl-C reaches us alone, who end one after the other.
    // Where this process is killed, a read-only mount ends with it; one for writing stays, with all that programs wrote to it.
    const ending = write ? {} : { endWithParent: 'SIGTERM' as const };
    const child: ResultPromise = start(tool, args, ending, { detached: true, reject: false });
    const end = child.then((result) => result);
    ended.push(end);
    stack.defer(async () => {
      child.kill('SIGTERM');
      await end;
    });
    for (;;) {
      signal.throwIfAborted();
      if (await isMountPoint(at)) return;
      if (child.exitCode !== null) throw toolError(tool, args, await end);
      await delay(20);
    }
  }
}

/** Fields of /proc/self/mounts are separated by blanks; blanks in a path are written as octal escapes (proc(5)). */
async function isMountPoint(path: string): Promise<boolean> {
  const escaped = path.replaceAll(/[ \t\n\\]/g, (c) => `\\${c.charCodeAt(0).toString(8).padStart(3, '0')}`);
  const mounts = await readFile('/proc/self/mounts', 'utf8');
  return mounts.split('\n').some((line) => line.split(' ')[1] === escaped);
}

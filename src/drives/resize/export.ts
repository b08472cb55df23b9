import { constants, existsSync } from 'node:fs';
import { access, mkdir, readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { ResultPromise } from 'execa';
import { hasCode, messageOf, UserError } from '../../host/errors.ts';
import { type RunOptions, run, start, toolError } from '../../host/run.ts';
import { workDirectory } from '../../host/temp.ts';
import { locateTool, type ToolName } from '../../host/tools.ts';

/** The bytes of a drive as a file or a device, which e2fsprogs can work on. Disposing ends it and waits for every byte. */
export interface Exported extends AsyncDisposable {
  path: string;
}

/** Shows a drive; options as qemu's `--image-opts` takes them. */
export type Exporter = (
  imageOptions: string,
  options: { readOnly?: boolean; signal?: AbortSignal | undefined },
) => Promise<Exported>;

/** FUSE is there but this process may not mount: in many containers. */
export class MountRefused extends UserError {}

/**
 * True where nbdfuse and /dev/fuse are there for this user, and `/etc/mtab`, by which fusermount3 judges what an account other than
 * root may unmount: minimal containers have none.
 */
export async function fuseUsable(): Promise<boolean> {
  if (locateTool('nbdfuse') === undefined || locateTool('fusermount3') === undefined) return false;
  if (process.getuid?.() !== 0 && !existsSync('/etc/mtab')) return false;
  const denied = await access('/dev/fuse', constants.R_OK | constants.W_OK).catch(() => true);
  return denied !== true;
}

/**
 * qemu-nbd on a socket in a private folder, and nbdfuse that shows it as a file there, for this user alone. Each is ended with
 * this process; nbdfuse unmounts when it is told to end.
 * @throws MountRefused where nothing can be mounted; UserError where QEMU cannot open the drive.
 */
export const exportByFuse: Exporter = async (imageOptions, { readOnly = false, signal }) => {
  await using stack = new AsyncDisposableStack();
  await removeDeadMounts();
  const work = stack.use(await workDirectory());
  const [socket, served, mounted, folder] = ['socket', 'served', 'mounted', 'drive'].map((name) =>
    join(work.path, name),
  ) as [string, string, string, string];
  await mkdir(folder);
  const access = readOnly ? ['--read-only'] : [];
  const server = helper(
    'qemu-nbd',
    ['--socket', socket, '--pid-file', served, ...access, '--image-opts', imageOptions],
    'SIGKILL',
  );
  stack.defer(() => server.end());
  await server.ready(() => isFilled(served), signal);
  const path = join(folder, 'disk');
  const view = helper(
    'nbdfuse',
    ['--pidfile', mounted, ...(readOnly ? ['--readonly'] : []), path, '--unix', socket],
    'SIGTERM',
  );
  stack.defer(() => view.end());
  await view
    .ready(() => isFilled(mounted), signal)
    .catch((error: unknown) => {
      signal?.throwIfAborted();
      throw new MountRefused(messageOf(error), { cause: error });
    });
  const moved = stack.move();
  return {
    path,
    async [Symbol.asyncDispose]() {
      try {
        await run('fusermount3', ['-u', folder]);
        // nbdfuse ends with its mount, and qemu-nbd with its only client, after it has written everything.
        await view.ended();
        await server.ended();
      } finally {
        await moved[Symbol.asyncDispose]();
      }
    },
  };
};

/** Unmounts what an nbdfuse of this user left that was itself killed: nobody can remove its folder before. */
async function removeDeadMounts(): Promise<void> {
  const table = await readFile('/proc/self/mountinfo', 'utf8').catch(() => '');
  // Field 5 is the mount point, with blanks as \040: none of ours has any.
  const points = table.split('\n').flatMap((line) => (/ - fuse/.test(line) ? [line.split(' ')[4]!] : []));
  for (const point of points.filter((path) => /\/cvm-builder-[\w-]+\/drive$/.test(path))) {
    const alive = await stat(point).then(
      () => true,
      (error: unknown) => !hasCode(error, 'ENOTCONN'),
    );
    if (!alive) await run('fusermount3', ['-u', '-z', point]).catch(() => {});
  }
}

/** True where this is root and the kernel has nbd. */
export async function kernelNbdUsable(): Promise<boolean> {
  return process.getuid?.() === 0 && (await stat('/sys/block/nbd0').catch(() => undefined)) !== undefined;
}

/**
 * A device of the kernel's nbd module, as the guide has it.
 * @throws UserError where no device is free, or QEMU cannot open the drive.
 */
export const exportByKernel: Exporter = async (imageOptions, { readOnly = false, signal }) => {
  const device = await freeDevice();
  const path = `/dev/${device}`;
  const access = readOnly ? ['--read-only'] : [];
  // --verbose keeps it in the foreground.
  const args = ['--verbose', '--connect', path, ...access, '--image-opts', imageOptions];
  const server = helper('qemu-nbd', args, 'SIGTERM');
  const isConnected = async () => Number(await readFile(`/sys/block/${device}/size`, 'utf8')) > 0;
  try {
    await server.ready(isConnected, signal);
  } catch (error) {
    await server.end();
    throw error;
  }
  return {
    path,
    async [Symbol.asyncDispose]() {
      try {
        await run('qemu-nbd', ['--disconnect', path]);
        await server.ended();
      } finally {
        await server.end();
      }
    },
  };
};

async function freeDevice(): Promise<string> {
  for (const name of (await readdir('/sys/block')).filter((name) => /^nbd\d+$/.test(name)).sort()) {
    // The kernel shows `pid` while a device is connected.
    const taken = await stat(`/sys/block/${name}/pid`).catch(() => undefined);
    if (taken === undefined) return name;
  }
  throw new UserError('cannot show the drive as a device: every /dev/nbd device is taken', {
    hint: 'qemu-nbd --disconnect /dev/nbd0 frees one; without --kernel-nbd none is needed',
  });
}

interface Helper {
  /** Waits for a condition; @throws UserError where the helper ends before. */
  ready(condition: () => Promise<boolean>, signal: AbortSignal | undefined): Promise<void>;
  /** Waits for its end; @throws UserError where that was a failure. */
  ended(): Promise<void>;
  /** Ends it, whatever it is doing. */
  end(): Promise<void>;
}

/** A tool that runs beside us. It is told to end by us alone, so that an abort does not take the drive from under a writer. */
function helper(name: ToolName, args: readonly string[], endWithParent: 'SIGTERM' | 'SIGKILL'): Helper {
  const options: RunOptions = { endWithParent };
  const process: ResultPromise = start(name, args, options, { detached: true, reject: false });
  let result: Awaited<ResultPromise> | undefined;
  const done = process.then((value) => {
    result = value;
  });
  return {
    async ready(condition, signal) {
      while (!(await condition())) {
        signal?.throwIfAborted();
        if (result !== undefined) throw toolError(name, args, result);
        await delay(10);
      }
    },
    async ended() {
      await done;
      if (result?.failed) throw toolError(name, args, result);
    },
    async end() {
      process.kill('SIGTERM');
      await done;
    },
  };
}

async function isFilled(file: string): Promise<boolean> {
  return ((await stat(file).catch(() => undefined))?.size ?? 0) > 0;
}

/** A value in a list of qemu's options: a comma splits, a doubled one stands for itself. */
export function optionValue(text: string): string {
  return text.replaceAll(',', ',,');
}

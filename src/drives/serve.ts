import { constants } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { join } from 'node:path';
import { awaitNbd } from '../host/disk/await-nbd.ts';
import type { NbdDisk } from '../host/disk/nbd.ts';
import { hasCode, messageOf, UserError } from '../host/errors.ts';
import { start, toolError } from '../host/run.ts';
import { workDirectory } from '../host/temp.ts';
import { readQcow2Header } from './qcow2-header.ts';

export interface ServeOptions {
  /** Take the drive for writing, which no other program may have open then. Read-only otherwise, also beside a running VM. */
  writable: boolean;
  /** For large writes: past the host's page cache, where its file system can. They still last only after a flush. */
  direct?: boolean;
  /** Go on where this process is killed: for what another program still writes. */
  outlives?: boolean;
  signal?: AbortSignal | undefined;
}

/** A drive served by qemu-nbd in user space, as long as it is not disposed of. */
export interface ServedDrive extends AsyncDisposable {
  disk: NbdDisk;
  /** Path of the Unix socket, in a private folder; takes any number of clients. */
  socket: string;
}

/**
 * Serves a qcow2 drive on a socket in a private folder. Its header is read before, so that qemu opens this one file alone. The file is opened once,
 * for that and for qemu, so that a name that changes meanwhile leads nowhere; a link is not written through. The file's own lock is qemu's: the drive of a running VM cannot be
 * taken for writing.
 * @throws UserError where it is no such drive, or another program has it
 */
export async function serveDrive(drive: string, options: ServeOptions): Promise<ServedDrive> {
  const { writable, signal } = options;
  const verb = writable ? 'write to' : 'read';
  await using stack = new AsyncDisposableStack();
  const handle = stack.use(await openFile(drive, writable, verb));
  await readQcow2Header(drive, undefined, `/proc/self/fd/${handle.fd}`);
  const work = stack.use(await workDirectory({ bytes: 0 }));
  const socket = join(work.path, 'nbd');
  const direct = writable && options.direct === true && (await takesDirect(handle));
  const image = [
    'driver=qcow2',
    ...(writable
      ? ['discard=unmap', `cache.direct=${direct ? 'on' : 'off'}`]
      : ['force-share=on', 'read-only=on']),
    'file.driver=file',
    'file.filename=/proc/self/fd/0',
  ];
  const mode = writable ? [`--cache=${direct ? 'none' : 'writeback'}`] : ['--read-only'];
  // Not --persistent: it ends with its last client; killed before there was one, with this process: no drive stays locked.
  const args = [...mode, '--shared=0', '--socket', socket, '--image-opts', image.join(',')];
  // In a process group of its own: Ctrl-C must not take the drive away from work that is being finished.
  // SIGKILL, as it forgets an earlier SIGTERM when it begins to serve. What was flushed is on the drive all the same.
  const ending = options.outlives ? {} : { endWithParent: 'SIGKILL' as const };
  const child = start('qemu-nbd', args, ending, { stdin: handle.fd as 0, detached: true });
  stack.defer(async () => {
    child.kill();
    await child.catch(() => undefined);
  });
  const disk = stack.use(await awaitNbd({ socket, program: child, explain: explained, signal }));
  if (await isEncrypted(disk)) {
    throw new UserError(`cannot ${verb} drive ${drive}: it is an encrypted drive`, {
      hint: 'only the plain drives hold files for you: user_data, applog, user_config; cvm inspect BUNDLE --key FILE shows what is sealed',
    });
  }
  const moved = stack.move();
  return { disk, socket, [Symbol.asyncDispose]: () => moved[Symbol.asyncDispose]() };

  function explained(error: unknown): Error {
    if (/Failed to get (?:shared )?"[a-z ]+" lock/.test(messageOf(error))) {
      return new UserError(`cannot ${verb} drive ${drive}: another program has it open`, {
        hint: `stop the VM that uses it; fuser -v ${drive} shows which program it is`,
      });
    }
    return toolError('qemu-nbd', args, error, {
      hint: `is the image damaged? qemu-img check ${drive} may tell`,
    });
  }
}

/** Whether the file system that holds a file takes O_DIRECT; it says so when the file is opened. */
async function takesDirect({ fd }: FileHandle): Promise<boolean> {
  const found = await open(`/proc/self/fd/${fd}`, constants.O_RDONLY | constants.O_DIRECT).catch(
    () => undefined,
  );
  await found?.close();
  return found !== undefined;
}

async function openFile(drive: string, writable: boolean, verb: string): Promise<FileHandle> {
  const access = writable ? constants.O_RDWR | constants.O_NOFOLLOW : constants.O_RDONLY;
  const handle = await open(drive, access | constants.O_NONBLOCK).catch((error: unknown) => {
    const cannot = (cause: string, hint?: string) =>
      new UserError(`cannot ${verb} drive ${drive}: ${cause}`, {
        cause: error,
        ...(hint === undefined ? {} : { hint }),
      });
    if (hasCode(error, 'ENOENT')) throw cannot('there is no such file');
    if (hasCode(error, 'EISDIR')) throw cannot('it is not a regular file');
    if (hasCode(error, 'ELOOP')) throw cannot('it is a symbolic link', 'name the file that it leads to');
    throw cannot(messageOf(error));
  });
  if ((await handle.stat()).isFile()) return handle;
  await handle.close();
  throw new UserError(`cannot ${verb} drive ${drive}: it is not a regular file`);
}

/** LUKS, as crypt_root has it. Source: LUKS2 On-Disk Format, "Binary header". */
async function isEncrypted(disk: NbdDisk): Promise<boolean> {
  const magic = Buffer.from('LUKS\xba\xbe', 'latin1');
  return disk.size >= magic.length && (await disk.read(0, magic.length)).equals(magic);
}

import { constants } from 'node:fs';
import { type FileHandle, open, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { connectNbd, type NbdDisk } from '../host/disk/nbd.ts';
import { hasCode, messageOf, UserError } from '../host/errors.ts';
import { start, toolError } from '../host/run.ts';
import { workDirectory } from '../host/temp.ts';
import { readQcow2Header } from './qcow2-header.ts';

export interface ServeOptions {
  /** Take the drive for writing, which no other program may have open then. Read-only otherwise, also beside a running VM. */
  writable: boolean;
  signal?: AbortSignal | undefined;
}

/** A drive served by qemu-nbd in user space, as long as it is not disposed of. */
export interface ServedDrive extends AsyncDisposable {
  disk: NbdDisk;
  /** Path of the Unix socket, in a private folder; takes any number of clients. */
  socket: string;
}

/**
 * Serves a qcow2 drive on a socket in a private folder. Its header was read before, so that qemu opens this one file alone, and
 * qemu gets it opened, so that a name that changes meanwhile leads nowhere. The file's own lock is qemu's: the drive of a running VM cannot be
 * taken for writing.
 * @throws UserError where it is no such drive, or another program has it
 */
export async function serveDrive(drive: string, { writable, signal }: ServeOptions): Promise<ServedDrive> {
  await readQcow2Header(drive);
  const verb = writable ? 'write to' : 'read';
  await using stack = new AsyncDisposableStack();
  const handle = stack.use(await openFile(drive, writable, verb));
  const work = stack.use(await workDirectory({ bytes: 0 }));
  const socket = join(work.path, 'nbd');
  const image = [
    'driver=qcow2',
    ...(writable ? ['discard=unmap', 'cache.direct=off'] : ['force-share=on', 'read-only=on']),
    'file.driver=file',
    'file.filename=/proc/self/fd/0',
  ];
  const mode = writable ? ['--cache=writeback'] : ['--read-only'];
  // Not --persistent: it ends with its last client, so that a killed builder leaves no drive locked.
  const args = [...mode, '--shared=0', '--socket', socket, '--image-opts', image.join(',')];
  // In a process group of its own: Ctrl-C must not take the drive away from work that is being finished.
  const child = start('qemu-nbd', args, {}, { stdin: handle.fd as 0, detached: true });
  let failure: unknown;
  const ended = child.then(
    () => {
      failure ??= new Error('qemu-nbd ended early');
    },
    (error: unknown) => {
      failure ??= error;
    },
  );
  stack.defer(async () => {
    child.kill();
    await ended;
  });
  const disk = stack.use(await connect());
  if (await isEncrypted(disk)) {
    throw new UserError(`cannot ${verb} drive ${drive}: it is an encrypted drive`, {
      hint: 'only the plain drives hold files for you: user_data, applog, user_config; cvm inspect BUNDLE --key FILE shows what is sealed',
    });
  }
  const moved = stack.move();
  return { disk, socket, [Symbol.asyncDispose]: () => moved[Symbol.asyncDispose]() };

  async function connect(): Promise<NbdDisk> {
    for (;;) {
      signal?.throwIfAborted();
      if (failure !== undefined) throw explained(failure);
      if ((await stat(socket).catch(() => undefined)) !== undefined) {
        // The socket's file is there a moment before qemu-nbd listens on it.
        const connected = await connectNbd(socket).catch((error: unknown) => {
          if (!hasCode(error, 'ECONNREFUSED')) throw error;
        });
        if (connected !== undefined) return connected;
      }
      await delay(10);
    }
  }

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

async function openFile(drive: string, writable: boolean, verb: string): Promise<FileHandle> {
  const flags = (writable ? constants.O_RDWR : constants.O_RDONLY) | constants.O_NONBLOCK;
  const handle = await open(drive, flags).catch((error: unknown) => {
    throw new UserError(`cannot ${verb} drive ${drive}: ${messageOf(error)}`, { cause: error });
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

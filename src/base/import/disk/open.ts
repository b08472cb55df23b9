import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { type Blocks, fileBlocks } from '../../../host/disk/blocks.ts';
import { connectNbd, type NbdDisk } from '../../../host/disk/nbd.ts';
import { start, toolError } from '../../../host/run.ts';
import type { SourceFile } from '../../../host/source-file.ts';
import { workDirectory } from '../../../host/temp.ts';
import type { DiskFormat } from './formats.ts';

/** An image, held open for reading. */
export interface OpenDisk extends AsyncDisposable {
  disk: Blocks;
}

/** Opens a raw image: read by ourselves, no program is started. */
export function openRaw(source: SourceFile): OpenDisk {
  return { disk: fileBlocks(source.handle, source.size), async [Symbol.asyncDispose]() {} };
}

/**
 * Opens an image of another format through qemu-nbd, which serves it read-only on a socket in a private folder. qemu gets the
 * open file, so that what is read is what was hashed whatever happens to the name, and the format by name, so that it
 * guesses nothing.
 * @throws UserError where qemu cannot read the image
 */
export async function openByQemu(
  source: SourceFile,
  format: DiskFormat,
  signal?: AbortSignal,
): Promise<OpenDisk> {
  await using stack = new AsyncDisposableStack();
  const work = stack.use(await workDirectory());
  const socket = join(work.path, 'nbd');
  const args = ['--read-only', '--format', format, '--socket', socket, '/proc/self/fd/0'];
  const child = start('qemu-nbd', args, { signal }, { stdin: source.handle.fd as 0 });
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
  const moved = stack.move();
  return { disk, [Symbol.asyncDispose]: () => moved[Symbol.asyncDispose]() };

  async function connect(): Promise<NbdDisk> {
    for (;;) {
      signal?.throwIfAborted();
      if (failure !== undefined) {
        throw toolError('qemu-nbd', args, failure, {
          signal,
          hint: `is the image in use, or damaged? qemu-img check ${source.path} may tell`,
        });
      }
      if ((await stat(socket).catch(() => undefined)) !== undefined) {
        // The socket's file is there a moment before qemu-nbd listens on it.
        const connected = await connectNbd(socket).catch((error: unknown) => {
          if ((error as NodeJS.ErrnoException).code !== 'ECONNREFUSED') throw error;
        });
        if (connected !== undefined) return connected;
      }
      await delay(10);
    }
  }
}

import { join } from 'node:path';
import { awaitNbd } from '../../../host/disk/await-nbd.ts';
import { type Blocks, fileBlocks } from '../../../host/disk/blocks.ts';
import { start, toolError } from '../../../host/run.ts';
import type { PrivateCopy } from '../../../host/source-file.ts';
import { workDirectory } from '../../../host/temp.ts';
import type { DiskFormat } from './formats.ts';

/** An image, held open for reading. */
export interface OpenDisk extends AsyncDisposable {
  disk: Blocks;
}

/** Opens a raw image: read by ourselves, no program is started. */
export function openRaw(image: PrivateCopy): OpenDisk {
  return { disk: fileBlocks(image.handle, image.size), async [Symbol.asyncDispose]() {} };
}

/**
 * Opens an image of another format through qemu-nbd, which serves it read-only on a socket in a private folder. qemu gets the
 * private copy, so that what is read is what was hashed whatever happens to the file; the format by name, so that it guesses
 * nothing; and the word that there is no backing file, so that it opens none whatever the header says.
 * @throws UserError where qemu cannot read the image
 */
export async function openByQemu(
  copy: PrivateCopy,
  format: DiskFormat,
  signal?: AbortSignal,
): Promise<OpenDisk> {
  await using stack = new AsyncDisposableStack();
  const work = stack.use(await workDirectory());
  const socket = join(work.path, 'nbd');
  const file = { driver: 'file', filename: '/proc/self/fd/0' };
  const image = `json:${JSON.stringify({ driver: format, backing: null, file })}`;
  const args = ['--read-only', '--socket', socket, image];
  const child = start('qemu-nbd', args, { signal }, { stdin: copy.handle.fd as 0 });
  stack.defer(async () => {
    child.kill();
    await child.catch(() => undefined);
  });
  const explain = (error: unknown) =>
    toolError('qemu-nbd', args, error, {
      signal,
      hint: `is the image in use, or damaged? qemu-img check ${copy.path} may tell`,
    });
  const disk = stack.use(await awaitNbd({ socket, program: child, explain, signal }));
  const moved = stack.move();
  return { disk, [Symbol.asyncDispose]: () => moved[Symbol.asyncDispose]() };
}

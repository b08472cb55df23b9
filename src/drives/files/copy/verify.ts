import type { Blocks } from '../../../host/disk/blocks.ts';
import { UserError } from '../../../host/errors.ts';
import type { Ext4 } from '../../../host/ext4/filesystem.ts';
import type { Inode } from '../../../host/ext4/inode.ts';
import { readable } from '../../../host/tar/entry.ts';
import { wholeContent } from '../content.ts';

/**
 * Compares a file of this machine with one on a drive, byte by byte.
 * @param file open for reading
 * @throws UserError with the first byte that differs
 */
export async function compareContent(
  files: { ext4: Ext4; blocks: Blocks },
  inode: Inode,
  file: { path: Buffer; read: (offset: number, length: number) => Promise<Buffer>; size: number },
  options: { onBytes?: (count: number) => void; signal?: AbortSignal | undefined } = {},
): Promise<void> {
  const differs = (cause: string) =>
    new UserError(`cannot verify ${readable(file.path.toString('latin1'))}: ${cause}`, {
      hint: 'run the copy again after removing the file on the side that was written',
    });
  if (file.size !== inode.size)
    throw differs(`it has ${file.size} bytes here and ${inode.size} on the drive`);
  let offset = 0;
  for await (const data of wholeContent(files, inode)) {
    options.signal?.throwIfAborted();
    const ours = await file.read(offset, data.length);
    if (!ours.equals(data)) {
      const at = data.findIndex((byte, index) => byte !== ours[index]);
      throw differs(`byte ${offset + at} is not the same on the drive`);
    }
    offset += data.length;
    options.onBytes?.(data.length);
  }
}

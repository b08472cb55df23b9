import { constants } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';

/**
 * Opens a regular file for reading. Anything else is refused, and a FIFO without waiting for a writer.
 * @throws Error of the system, or one that says what the path is not.
 */
export async function openRegularFile(path: string): Promise<{ file: FileHandle; size: number }> {
  const file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
  const status = await file.stat();
  if (status.isFile()) return { file, size: status.size };
  await file.close();
  throw new Error('it is not a regular file');
}

import { constants } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { basename, join, resolve } from 'node:path';
import { fileBlocks } from '../../host/disk/blocks.ts';
import { hasCode, messageOf, UserError } from '../../host/errors.ts';
import type { BundleSource, SourceFile } from './source.ts';

/** O_NONBLOCK: a FIFO is refused and not waited for. */
const readOnly = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;

/** The files of a bundle folder. */
export function folderSource(folder: string): BundleSource {
  const path = resolve(folder);
  const handles: FileHandle[] = [];
  const opened = new Map<string, Promise<SourceFile>>();

  async function openFile(name: string): Promise<SourceFile> {
    try {
      const handle = await open(join(path, name), readOnly);
      handles.push(handle);
      const found = await handle.stat();
      return found.isFile() ? fileBlocks(handle, found.size) : 'not regular';
    } catch (error) {
      if (hasCode(error, 'ENOENT')) return 'missing';
      // What open(2) says of a symbolic link under O_NOFOLLOW, and of a socket.
      if (hasCode(error, 'ELOOP') || hasCode(error, 'ENXIO')) return 'not regular';
      throw new UserError(`cannot read ${join(path, name)}: ${messageOf(error)}`, { cause: error });
    }
  }

  return {
    folderName: basename(path),
    path,
    file(name) {
      const file = opened.get(name) ?? openFile(name);
      opened.set(name, file);
      return file;
    },
    async [Symbol.asyncDispose]() {
      for (const handle of handles) await handle.close();
    },
  };
}

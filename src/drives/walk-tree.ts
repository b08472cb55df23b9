import { isUtf8 } from 'node:buffer';
import { lstat, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { messageOf, UserError } from '../host/errors.ts';
import { compareBytes } from './sealed-list.ts';

/** A file or folder of a user_config tree. */
export interface TreeEntry {
  kind: 'file' | 'folder';
  /** Path below /user_config. */
  path: string;
  /** Absolute path on this machine. */
  source: string;
  /** `st_mode & 0o7777`. */
  mode: number;
  /** Bytes; 0 for a folder. */
  size: number;
}

/**
 * Yields a folder, then everything below it, a folder before its content, names in bytewise order. Links are not followed.
 * @param path of the folder below /user_config
 * @throws UserError for anything but regular files and folders, and for names that are not UTF-8 or hold control characters.
 */
export async function* walkTree(source: string, path: string): AsyncGenerator<TreeEntry> {
  yield {
    kind: 'folder',
    path,
    source,
    mode: (await lstatOrExplain(source)).mode & 0o7777,
    size: 0,
  };
  yield* walkContent(source, path);
}

async function* walkContent(folder: string, folderPath: string): AsyncGenerator<TreeEntry> {
  for (const name of await namesIn(folder)) {
    const source = join(folder, name);
    const path = `${folderPath}/${name}`;
    const found = await lstatOrExplain(source);
    const mode = found.mode & 0o7777;
    if (found.isDirectory()) {
      yield { kind: 'folder', path, source, mode, size: 0 };
      yield* walkContent(source, path);
    } else if (found.isFile()) {
      yield { kind: 'file', path, source, mode, size: found.size };
    } else {
      const kind = found.isSymbolicLink()
        ? 'a symbolic link'
        : found.isFIFO()
          ? 'a named pipe'
          : found.isSocket()
            ? 'a socket'
            : 'a device';
      throw new UserError(`cannot use ${source} in user_config: it is ${kind}`, {
        hint: 'user_config takes regular files and folders alone; copy the file itself there',
      });
    }
  }
}

async function lstatOrExplain(path: string) {
  return await lstat(path).catch((error: unknown) => {
    throw new UserError(`cannot read ${path} for user_config: ${messageOf(error)}`, { cause: error });
  });
}

async function namesIn(folder: string): Promise<string[]> {
  const names = await readdir(folder, { encoding: 'buffer' }).catch((error: unknown) => {
    throw new UserError(`cannot read ${folder} for user_config: ${messageOf(error)}`, { cause: error });
  });
  return names.map((name) => checkedName(folder, name)).sort(compareBytes);
}

function checkedName(folder: string, name: Buffer): string {
  const shown = JSON.stringify(name.toString('utf8'));
  const refuse = (cause: string) => new UserError(`cannot use file ${shown} in ${folder}: its name ${cause}`);
  if (!isUtf8(name)) throw refuse('is not UTF-8');
  if (/\p{Cc}/u.test(name.toString('utf8'))) throw refuse('holds a control character');
  return name.toString('utf8');
}

import type { BundleSource } from '../../bundle/index.ts';
import { Ext4 } from '../../host/ext4/filesystem.ts';
import { fileType, type Inode } from '../../host/ext4/inode.ts';
import { MalformedError } from '../../host/tar/bytes.ts';
import { blocksOf } from '../inside.ts';
import { openQcow2 } from '../qcow2/drive.ts';

/** The drive that holds what the host may read of user_config. */
export const plainDrive = 'user_config.qcow2';

/** Bounds on a hostile drive: entries, folders in folders, bytes of files. */
const most = { entries: 100_000, depth: 64, bytes: 4 * 2 ** 30 };

/** An entry of the plain drive. */
export interface PlainEntry {
  kind: 'file' | 'folder' | 'other';
  /** Below /user_config, without a leading slash. What is not UTF-8 in it is replaced. */
  path: string;
  /** Last part of the path, byte for byte as latin1. */
  name: string;
  /** `st_mode & 0o7777`. */
  mode: number;
  /** The bytes of a file. @throws MalformedError */
  content(): AsyncIterable<Uint8Array>;
}

/**
 * All that is on a bundle's user_config drive, read without mounting it. No name on it becomes a path of this machine.
 * @throws MalformedError for a drive that is missing, damaged or beyond all bounds
 */
export async function* plainEntries(source: BundleSource, signal?: AbortSignal): AsyncGenerator<PlainEntry> {
  const ext4 = await Ext4.open(await openQcow2(await blocksOf(source, plainDrive)), signal);
  const left = { entries: most.entries, bytes: most.bytes };
  const waiting: { folder: Inode; path: string; depth: number }[] = [
    { folder: await ext4.root(), path: '', depth: 0 },
  ];
  for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
    const { folder, path: above, depth } = next;
    for (const { name, inode: number } of await ext4.list(folder)) {
      signal?.throwIfAborted();
      left.entries -= 1;
      if (left.entries < 0 || depth > most.depth)
        throw new MalformedError('it has too many folders and files');
      if (name === '.' || name === '..') continue;
      const inode = await ext4.inode(number);
      const path = `${above}${Buffer.from(name, 'latin1').toString('utf8')}`;
      const isFolder = inode.type === fileType.directory;
      const isFile = inode.type === fileType.regular;
      if (isFolder) waiting.push({ folder: inode, path: `${path}/`, depth: depth + 1 });
      left.bytes -= isFile ? inode.size : 0;
      if (left.bytes < 0) throw new MalformedError(`it has more than ${most.bytes} bytes of files`);
      const kind = isFolder ? 'folder' : isFile ? 'file' : 'other';
      yield { kind, path, name, mode: inode.mode & 0o7777, content: () => ext4.content(inode) };
    }
  }
}

/** Paths of the files on the drive, sorted. @throws MalformedError */
export async function plainFiles(source: BundleSource, signal?: AbortSignal): Promise<string[]> {
  const paths: string[] = [];
  for await (const { kind, path } of plainEntries(source, signal)) if (kind !== 'folder') paths.push(path);
  return paths.sort();
}

import type { Ext4 } from '../../host/ext4/filesystem.ts';
import { fileType, type Inode } from '../../host/ext4/inode.ts';
import { MalformedError } from '../../host/tar/bytes.ts';
import { readable } from '../../host/tar/entry.ts';

/** Something on a drive. */
export interface Found {
  /** Names from where the walk began, byte strings; empty for the beginning itself. */
  path: readonly string[];
  inode: Inode;
}

/** Linux's own bound on a path (PATH_MAX), in bytes. */
const longestPath = 4096;

/**
 * Walks a folder of a drive, a folder before its content, names in bytewise order. Links are not followed. A folder that is met twice ends the
 * walk: no sound file system has one, and a hostile one could have no end. So do folders that are larger than it in all: they share blocks.
 * @param deepest names in a path at most
 * @throws MalformedError
 */
export async function* walkDrive(
  ext4: Ext4,
  start: Inode,
  deepest = Number.POSITIVE_INFINITY,
): AsyncGenerator<Found> {
  const seen = new Set<number>();
  let room = ext4.superblock.blocksCount * ext4.superblock.blockSize;
  async function* walk(inode: Inode, path: readonly string[], length: number): AsyncGenerator<Found> {
    yield { path, inode };
    if (inode.type !== fileType.directory || path.length >= deepest) return;
    const shown = readable(path.join('/'));
    if (seen.has(inode.number)) throw new MalformedError(`the folder ${shown} is in two places`);
    seen.add(inode.number);
    room -= inode.size;
    if (room < 0) throw new MalformedError('its folders are larger than it is itself');
    for (const { name, inode: number } of await ext4.list(inode)) {
      if (length + name.length + 1 > longestPath)
        throw new MalformedError(`the path of ${shown} is too long`);
      yield* walk(await ext4.inode(number), [...path, name], length + name.length + 1);
    }
  }
  yield* walk(start, [], 0);
}

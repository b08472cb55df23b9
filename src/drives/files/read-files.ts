import type { Blocks } from '../../host/disk/blocks.ts';
import { Ext4 } from '../../host/ext4/filesystem.ts';
import { workDirectory } from '../../host/temp.ts';
import { serveDrive } from '../serve.ts';
import { loadMetadata } from './metadata.ts';
import type { Lookup } from './place.ts';
import { replayJournal } from './write/replay.ts';
import { type Change, WorkImage } from './write/work-image.ts';

/** A drive open for reading. */
export interface OpenFiles extends AsyncDisposable {
  ext4: Ext4;
  /** The drive's blocks as they are, or would be with the journal replayed. */
  blocks: Blocks;
}

/**
 * Opens the file system of a drive for reading, also beside a running VM, where what is seen is a moment's state. Everything is read through
 * qemu-nbd and parsed here; where the journal holds changes, they are replayed in a private image, and the drive stays as it is.
 * @throws UserError where it is no such drive
 * @throws MalformedError where it is damaged
 */
export async function openFiles(drive: string, signal?: AbortSignal): Promise<OpenFiles> {
  await using stack = new AsyncDisposableStack();
  const { disk } = stack.use(await serveDrive(drive, { writable: false, signal }));
  const first = await Ext4.open(disk);
  let blocks: Blocks = disk;
  if (first.superblock.needsRecovery) {
    const { inodesCount, freeInodes, inodeSize, blockSize } = first.superblock;
    const bytes = Math.max(0, inodesCount - freeInodes) * inodeSize * 3 + 256 * 2 ** 20;
    const { path } = stack.use(await workDirectory({ bytes }));
    const image = stack.use(await WorkImage.create(path, disk, blockSize, { signal }));
    const ext4 = await Ext4.open(image.blocks);
    await loadMetadata(image, ext4);
    const { changes } = await replayJournal(image, ext4, signal);
    blocks = overlaid(disk, changes, blockSize);
  }
  const ext4 = blocks === disk ? first : await Ext4.open(blocks);
  const moved = stack.move();
  return { ext4, blocks, [Symbol.asyncDispose]: () => moved[Symbol.asyncDispose]() };
}

/** Finds paths in a file system that is only read. */
export function lookupIn(ext4: Ext4): Lookup {
  return { inode: (number) => ext4.inode(number), list: (folder) => ext4.list(folder) };
}

/** A drive with some of its blocks replaced. */
export function overlaid(disk: Blocks, changes: readonly Change[], blockSize: number): Blocks {
  const byBlock = new Map(changes.map(({ offset, data }) => [offset / blockSize, data]));
  return {
    size: disk.size,
    async read(offset, length) {
      const bytes = Buffer.from(await disk.read(offset, length));
      const end = offset + length;
      for (let block = Math.floor(offset / blockSize); block * blockSize < end; block++) {
        const data = byBlock.get(block);
        if (data === undefined) continue;
        const start = block * blockSize;
        const from = Math.max(offset, start);
        data.copy(bytes, from - offset, from - start, Math.min(end, start + data.length) - start);
      }
      return bytes;
    },
  };
}

import type { Blocks } from '../../host/disk/blocks.ts';
import type { Ext4 } from '../../host/ext4/filesystem.ts';
import { type Inode, inodeFlags } from '../../host/ext4/inode.ts';
import { MalformedError } from '../../host/tar/bytes.ts';

/** A piece of a file's content. */
export interface ContentPiece {
  /** Bytes from the start of the file. */
  offset: number;
  data: Buffer;
}

/**
 * The content of a file without its holes, in rising order.
 * @param options from: bytes at the start that are left out; chunk: bytes at once; onBlock: told of each block of the drive that is read
 * @throws MalformedError where it lies outside of the drive
 */
export async function* contentPieces(
  { ext4, blocks }: { ext4: Ext4; blocks: Blocks },
  inode: Inode,
  { from = 0, chunk = 4 * 2 ** 20 }: { from?: number; chunk?: number } = {},
): AsyncGenerator<ContentPiece> {
  if (inode.flags & inodeFlags.encrypted) throw new MalformedError('it has encrypted files');
  if (inode.flags & inodeFlags.inlineData) {
    let offset = 0;
    for await (const piece of ext4.content(inode)) {
      if (offset + piece.length > from) yield { offset, data: Buffer.from(piece) };
      offset += piece.length;
    }
    return;
  }
  const { blockSize, blocksCount } = ext4.superblock;
  for await (const { logical, physical, count } of ext4.runs(inode)) {
    if (physical + count > blocksCount) throw new MalformedError('a file lies outside of it');
    const end = Math.min(inode.size, (logical + count) * blockSize);
    for (let offset = Math.max(logical * blockSize, from); offset < end; ) {
      const length = Math.min(chunk, end - offset);
      yield { offset, data: await blocks.read(physical * blockSize + offset - logical * blockSize, length) };
      offset += length;
    }
  }
}

const zeros = Buffer.alloc(1 << 20);

/** The whole content, holes as zeros. */
export async function* wholeContent(
  files: { ext4: Ext4; blocks: Blocks },
  inode: Inode,
): AsyncGenerator<Buffer> {
  let at = 0;
  function* hole(end: number) {
    for (; at < end; at += Math.min(zeros.length, end - at))
      yield zeros.subarray(0, Math.min(zeros.length, end - at));
  }
  for await (const { offset, data } of contentPieces(files, inode)) {
    yield* hole(offset);
    yield data;
    at += data.length;
  }
  yield* hole(inode.size);
}

/** Bytes of a file that lie in blocks; what is left are holes. @throws MalformedError */
export async function storedSize(ext4: Ext4, inode: Inode): Promise<number> {
  if (inode.flags & inodeFlags.inlineData) return inode.size;
  const { blockSize } = ext4.superblock;
  let bytes = 0;
  for await (const { logical, count } of ext4.runs(inode))
    bytes += Math.min(inode.size, (logical + count) * blockSize) - logical * blockSize;
  return bytes;
}

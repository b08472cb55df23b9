import type { Blocks } from './blocks.ts';

/** Bytes of a line: small files and inodes lie side by side, so that one read serves many. */
const line = 256 * 1024;
const lines = 96;

/** The same bytes through a cache of 24 MiB; longer reads go past it. */
export function cachedBlocks(blocks: Blocks): Blocks {
  // A Map keeps the order of insertion: the first key is the line that was not used for longest.
  const kept = new Map<number, Promise<Buffer>>();
  const lineAt = (index: number): Promise<Buffer> => {
    const start = index * line;
    const found = kept.get(index) ?? blocks.read(start, Math.min(line, blocks.size - start));
    kept.delete(index);
    kept.set(index, found);
    if (kept.size > lines) kept.delete(kept.keys().next().value!);
    return found;
  };
  return {
    size: blocks.size,
    async read(offset, length) {
      const first = Math.floor(offset / line);
      const last = Math.floor((offset + length - 1) / line);
      if (last - first > 1 || length <= 0 || offset < 0 || offset + length > blocks.size)
        return blocks.read(offset, length);
      const start = (await lineAt(first)).subarray(offset - first * line, offset - first * line + length);
      if (first === last) return start;
      return Buffer.concat([start, (await lineAt(last)).subarray(0, length - start.length)]);
    },
  };
}

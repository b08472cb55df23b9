import { mkdir, open, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { Ext4Tree } from '../../../../src/base/import/ext4/tree.ts';
import type { Blocks } from '../../../../src/host/disk/blocks.ts';
import { Ext4 } from '../../../../src/host/ext4/filesystem.ts';
import { MalformedError } from '../../../../src/host/tar/bytes.ts';
import { ext4Of } from './disks.ts';
import { workFolder } from './system.ts';

const folder = workFolder();
const cases = Number(process.env.FUZZ_CASES ?? 400);

/** A generator of numbers that can be repeated (mulberry32). */
function numbers(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Without checksums, so that the change is not simply noticed, in each way that ext4 keeps blocks and directories. */
it.each([
  ['extents', ['-O', '^metadata_csum,^has_journal']],
  ['block maps', ['-O', '^metadata_csum,^has_journal,^extents,^64bit', '-b', '1024']],
  ['inline data', ['-O', '^metadata_csum,^has_journal,inline_data']],
])('with %s: ends in an error of its own or in a tree, whatever bytes are changed', async (name, options) => {
  const tree = join(folder.path, name.replace(' ', '-'));
  await mkdir(join(tree, 'a/b'), { recursive: true });
  for (let index = 0; index < 40; index++)
    await writeFile(join(tree, 'a', `file-${index}`), 'x'.repeat(index * 700));
  await writeFile(join(tree, 'large'), Buffer.alloc(600_000, 'large'));
  const file = ext4Of(tree, `${tree}.ext4`, 4, ...options);
  await using handle = await open(file);
  const original = await handle.readFile();
  const random = numbers(1);
  const interesting = [...original.keys()].filter(
    (at) =>
      at % 8 === 0 &&
      original.readBigUInt64LE(at) !== 0n &&
      original.toString('latin1', at, at + 4) !== 'larg' &&
      original[at] !== 0x78,
  );
  let whole = 0;
  for (let round = 0; round < cases; round++) {
    const image = Buffer.from(original);
    for (let change = 0; change < 1 + Math.floor(random() * 4); change++) {
      const at = interesting[Math.floor(random() * interesting.length)]! + Math.floor(random() * 8);
      image[at] = random() < 0.3 ? 0xff : Math.floor(random() * 256);
    }
    try {
      const disk: Blocks = {
        size: image.length,
        async read(offset, length) {
          if (!(offset >= 0 && offset + length <= image.length)) throw new MalformedError('outside');
          return image.subarray(offset, offset + length);
        },
      };
      let bytes = 0;
      for await (const { body } of new Ext4Tree(await Ext4.open(disk)).entries(() => true)) {
        for await (const piece of body) {
          bytes += piece.length;
          // A file of holes is no fault; it only takes long.
          if (bytes > 1 << 28) break;
        }
        if (bytes > 1 << 28) break;
      }
      whole += 1;
    } catch (error) {
      expect(error instanceof MalformedError || error instanceof RangeError, String(error)).toBe(true);
    }
  }
  expect(whole).toBeGreaterThan(0);
});

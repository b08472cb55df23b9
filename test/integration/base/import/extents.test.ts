import { mkdir, open, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setImmediate as turn } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { fileBlocks } from '../../../../src/host/disk/blocks.ts';
import { Ext4 } from '../../../../src/host/ext4/filesystem.ts';
import { type Inode, inodeFlags } from '../../../../src/host/ext4/inode.ts';
import { type Run, runsOf } from '../../../../src/host/ext4/mapping.ts';
import { MalformedError } from '../../../../src/host/tar/bytes.ts';
import { ext4Of } from './disks.ts';
import { workFolder } from './system.ts';

const folder = workFolder();
const blockSize = 4096;
/** An extent that was allocated and never written is longer by this than it says. */
const unwritten = 32_768;

/** A node of an extent tree. @param entries [logical block, length or 0, block], a child where `depth` is not 0 */
function nodeOf(depth: number, entries: readonly (readonly [number, number, number])[], size = blockSize) {
  const node = Buffer.alloc(size);
  node.writeUInt16LE(0xf30a, 0);
  node.writeUInt16LE(entries.length, 2);
  node.writeUInt16LE(Math.floor((size - 12) / 12), 4);
  node.writeUInt16LE(depth, 6);
  for (const [index, [logical, length, block]] of entries.entries()) {
    const at = 12 + index * 12;
    node.writeUInt32LE(logical, at);
    if (depth > 0) node.writeUInt32LE(block, at + 4);
    else {
      node.writeUInt16LE(length, at + 4);
      node.writeUInt32LE(block, at + 8);
    }
  }
  return node;
}

/** Runs of a file of 1000 blocks. Throws what is no MalformedError where a thousand reads do not do. */
async function runs(root: Buffer, nodes: Readonly<Record<number, Buffer>> = {}): Promise<Run[]> {
  const inode = {
    ...{ number: 12, type: 0x8000, mode: 0o644, uid: 0, gid: 0, size: 1000 * blockSize },
    ...{ mtime: 0, mtimeNanoseconds: 0, links: 1 },
    ...{
      flags: inodeFlags.extents,
      block: root,
      attributesBlock: 0,
      extra: Buffer.alloc(0),
      seed: undefined,
    },
  } satisfies Inode;
  let reads = 0;
  const found: Run[] = [];
  const readBlock = async (block: number) => {
    reads += 1;
    if (reads > 1000) throw new Error('the tree has no end');
    await turn();
    return nodes[block]!;
  };
  for await (const run of runsOf(inode, readBlock, blockSize)) found.push(run);
  return found;
}

/** As many entries as a node takes, all to one child. */
const all = (block: number) => Array.from({ length: 340 }, (): [number, number, number] => [0, 0, block]);

describe('an extent tree', () => {
  it('gives the runs that were written, up to the size of the file', async () => {
    const root = nodeOf(
      1,
      [
        [0, 0, 50],
        [900, 0, 51],
        [5000, 0, 52],
      ],
      60,
    );
    const found = await runs(root, {
      50: nodeOf(0, [
        [0, 10, 100],
        [10, unwritten + 20, 200],
        [30, 5, 300],
      ]),
      51: nodeOf(0, [
        [900, 200, 400],
        [2000, unwritten + 1, 600],
      ]),
    });
    expect(found).toEqual([
      { logical: 0, physical: 100, count: 10, written: true },
      { logical: 30, physical: 300, count: 5, written: true },
      { logical: 900, physical: 400, count: 200, written: true },
    ]);
    expect(await runs(nodeOf(0, [], 60))).toEqual([]);
  });

  it.each<[string, Buffer]>([
    ['empty', nodeOf(0, [])],
    ['never written', nodeOf(0, [[0, unwritten + 1, 7]])],
    ['of length 0', nodeOf(0, [[0, 0, 7]])],
  ])('of a few blocks that leads to the same ones again and again, its leaf %s, is damage', async (_, leaf) => {
    const root = nodeOf(4, all(1).slice(0, 4), 60);
    const nodes = { 1: nodeOf(3, all(2)), 2: nodeOf(2, all(3)), 3: nodeOf(1, all(4)), 4: leaf };
    await expect(runs(root, nodes)).rejects.toThrow(MalformedError);
  });

  it.each<[string, [number, number, number][]]>([
    ['an extent of length 0', [[0, 0, 7]]],
    [
      'what was never written twice',
      [
        [0, unwritten + 5, 7],
        [4, unwritten + 5, 7],
      ],
    ],
    [
      'what was written twice',
      [
        [0, 5, 7],
        [4, 5, 7],
      ],
    ],
  ])('with %s is damage', async (_, entries) => {
    await expect(runs(nodeOf(0, entries, 60))).rejects.toThrow(MalformedError);
  });
});

it('ends reads that only the cache answers when the user interrupts', async () => {
  const tree = join(folder.path, 'tree');
  await mkdir(tree);
  await writeFile(join(tree, 'file'), 'x');
  await using handle = await open(ext4Of(tree, `${tree}.ext4`, 4));
  const blocks = fileBlocks(handle, (await handle.stat()).size);
  const interrupt = new AbortController();
  const ext4 = await Ext4.open(blocks, interrupt.signal);
  setTimeout(() => interrupt.abort(), 1);
  const reading = async () => {
    const end = Date.now() + 10_000;
    while (Date.now() < end) await ext4.root();
  };
  await expect(reading()).rejects.toMatchObject({ name: 'AbortError' });
});

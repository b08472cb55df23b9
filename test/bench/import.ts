/**
 * Benchmark of an import: a root of some 2 GB on ext4 becomes a base, beside GNU tar reading the same tree from a kernel mount where
 * this machine has loop devices, else from the folder it was made of; from memory, and where we may empty the kernel's caches from the
 * disk as well, where an image that was just brought here lies. Exit status 1 where a bound is passed.
 */
import { execFileSync } from 'node:child_process';
import { accessSync, constants, writeFileSync } from 'node:fs';
import { mkdir, mkdtemp, open, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Ext4Tree } from '../../src/base/import/ext4/tree.ts';
import { importBase } from '../../src/base/index.ts';
import { openCache } from '../../src/graph/cache.ts';
import { fileBlocks } from '../../src/host/disk/blocks.ts';
import { Ext4 } from '../../src/host/ext4/filesystem.ts';
import { ext4Of } from '../integration/base/import/disks.ts';
import { makeSystem } from '../integration/base/import/system.ts';
import { realBase } from '../integration/build/real-base.ts';
import { type Comparison, isWithin, table } from './table.ts';
import { timeByTurns } from './timing.ts';

const caches = '/proc/sys/vm/drop_caches';
const folder = await mkdtemp(join(tmpdir(), 'import-bench-'));
try {
  const tree = await makeSystem(join(folder, 'tree'));
  const base = await realBase();
  // Copies of a whole system, as large and as mixed as what a root holds, until there are 2 GB.
  for (let copy = 0; copy < 9; copy++) {
    const target = join(tree, 'opt', `copy${copy}`);
    await mkdir(target, { recursive: true });
    execFileSync('sh', [
      '-c',
      'sqfs2tar "$1" | tar -x --no-same-owner --exclude=./dev --exclude=dev -C "$2"',
      'sh',
      base.squashfs,
      target,
    ]);
  }
  const image = ext4Of(tree, join(folder, 'root.raw'), 3500);
  const mount = mounted(image, join(folder, 'mount'));
  const source = mount?.path ?? tree;
  try {
    let run = 0;
    const works = {
      ours: async () => {
        const cache = join(folder, `cache${run++}`);
        await importBase({ cache: openCache(cache), file: image });
        await rm(cache, { recursive: true });
      },
      read: () => readTree(image),
      again: again(await filled(image)),
      tar: () =>
        execFileSync('sh', ['-c', 'tar --numeric-owner -C "$1" -cf - . | cat > /dev/null', 'sh', source]),
    };
    const from = mount === undefined ? 'from its folder' : 'from a kernel mount';
    const warm = await timeByTurns(works, { warmUp: 1, rounds: 3 });
    const other: Comparison['other'] = [`tar reading the same tree ${from}`, warm.tar];
    const comparisons: Comparison[] = [
      { ours: ['a root of 2 GB, read', warm.read], other, bound: 2 },
      {
        ours: ['its whole import: hashed, read, compressed', warm.ours],
        other,
        bound: Number.POSITIVE_INFINITY,
      },
      { ours: ['the second import: hashed', warm.again], other: ['the first one', warm.ours], bound: 1 },
    ];
    if (mayEmptyCaches()) {
      const cold = await timeByTurns(
        { ours: works.ours, tar: works.tar },
        { warmUp: 0, rounds: 3, before: emptyCaches },
      );
      comparisons.push({
        ours: ['its whole import, from the disk', cold.ours],
        other: [`tar ${from}, from the disk`, cold.tar],
        bound: 2,
      });
    }
    console.log(table(comparisons));
    if (!comparisons.every(isWithin)) process.exitCode = 1;
  } finally {
    mount?.unmount();
  }
} finally {
  await rm(folder, { recursive: true, force: true });
}

/** Every byte of the root, as the import sees them. */
async function readTree(file: string): Promise<void> {
  await using handle = await open(file);
  const ext4 = await Ext4.open(fileBlocks(handle, (await handle.stat()).size));
  for await (const { body } of new Ext4Tree(ext4).entries(() => true)) for await (const _ of body);
}

async function filled(file: string): Promise<{ file: string; cache: string }> {
  const cache = join(folder, 'cache-filled');
  await importBase({ cache: openCache(cache), file });
  return { file, cache };
}

function again({ file, cache }: { file: string; cache: string }) {
  return () => importBase({ cache: openCache(cache), file });
}

function mounted(file: string, path: string): { path: string; unmount: () => void } | undefined {
  try {
    execFileSync('mkdir', ['-p', path]);
    execFileSync('mount', ['-o', 'loop,ro', file, path], { stdio: 'ignore' });
    return { path, unmount: () => execFileSync('umount', [path]) };
  } catch {
    return undefined;
  }
}

function mayEmptyCaches(): boolean {
  try {
    accessSync(caches, constants.W_OK);
    return true;
  } catch {
    return false;
  }
}

function emptyCaches(): void {
  execFileSync('sync');
  writeFileSync(caches, '3');
}

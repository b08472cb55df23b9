import { link, mkdir, open, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { LostAttributes } from '../../../../src/base/import/attributes.ts';
import { Ext4Tree } from '../../../../src/base/import/ext4/tree.ts';
import { type Blocks, fileBlocks, joinedBlocks } from '../../../../src/host/disk/blocks.ts';
import { Ext4 } from '../../../../src/host/ext4/filesystem.ts';
import { MalformedError } from '../../../../src/host/tar/bytes.ts';
import { ext4Of } from './disks.ts';
import { workFolder } from './system.ts';

const folder = workFolder();

/** A file system of a megabyte without checksums, whose one file has two names. */
async function smallImage(name: string, ...options: string[]): Promise<string> {
  const tree = join(folder.path, name);
  await mkdir(tree);
  await writeFile(join(tree, `${name}-1`), name);
  await link(join(tree, `${name}-1`), join(tree, `${name}-2`));
  return ext4Of(tree, `${tree}.ext4`, 1, '-b', '1024', '-O', '^metadata_csum,^has_journal', ...options);
}

it('a block size of 1024 shifted by 32 is damage, not 1024', async () => {
  const file = await smallImage('shifted');
  await using handle = await open(file, 'r+');
  const { size } = await handle.stat();
  expect((await Ext4.open(fileBlocks(handle, size))).superblock.blockSize).toBe(1024);
  await handle.write(Buffer.from([32, 0, 0, 0]), 0, 4, 1024 + 0x18);
  await expect(Ext4.open(fileBlocks(handle, size))).rejects.toThrow(MalformedError);
});

it('two file systems of one UUID keep their hard links to themselves', async () => {
  const uuid = '11111111-2222-3333-4444-555555555555';
  const root = join(folder.path, 'root');
  await mkdir(join(root, 'boot'), { recursive: true });
  await mkdir(join(root, 'srv'));
  const files = [
    ext4Of(root, `${root}.ext4`, 1, '-U', uuid),
    await smallImage('one', '-U', uuid),
    await smallImage('two', '-U', uuid),
  ];
  await using stack = new AsyncDisposableStack();
  const opened: Ext4[] = [];
  for (const file of files) {
    const handle = stack.use(await open(file));
    opened.push(await Ext4.open(fileBlocks(handle, (await handle.stat()).size)));
  }
  const [on, boot, srv] = opened as [Ext4, Ext4, Ext4];
  const mounts = new Map([
    ['boot', boot],
    ['srv', srv],
  ]);
  const links: string[] = [];
  for await (const { entry } of new Ext4Tree(on, mounts).entries((path) => !path.endsWith('lost+found')))
    if (entry.type === 'hard link') links.push(`${entry.name} to ${entry.linkName}`);
  expect(links).toEqual(['boot/one-2 to boot/one-1', 'srv/two-2 to srv/two-1']);
});

it('a volume of three hundred thousand segments is read in a moment', { timeout: 30_000 }, async () => {
  const count = 300_000;
  const bytes = Buffer.from(Array.from({ length: count }, (_, index) => index % 251));
  const disk: Blocks = {
    size: count,
    read: async (offset, length) => bytes.subarray(offset, offset + length),
  };
  const reversed = Array.from({ length: count }, (_, index) => ({
    ...{ blocks: disk, offset: count - 1 - index, length: 1 },
  }));
  const volume = joinedBlocks(reversed);
  expect((await volume.read(0, count)).equals(Buffer.from(bytes).reverse())).toBe(true);
  expect((await volume.read(count - 2, 2)).equals(Buffer.from([bytes[1]!, bytes[0]!]))).toBe(true);
});

it('segments of no length are passed over', async () => {
  const disk: Blocks = {
    size: 8,
    read: async (offset, length) => Buffer.from('abcdefgh').subarray(offset, offset + length),
  };
  const of = (offset: number, length: number) => ({ blocks: disk, offset, length });
  const volume = joinedBlocks([of(0, 0), of(4, 2), of(1, 0), of(0, 3), of(7, 0)]);
  expect((await volume.read(0, 5)).toString()).toBe('efabc');
});

it('half a million lost attributes are counted in a moment', { timeout: 15_000 }, () => {
  const lost = new LostAttributes();
  for (let index = 0; index < 500_000; index++) lost.add('user.a', `file-${index}`);
  lost.add('user.b', 'other');
  expect([...lost.warnings()]).toEqual([
    'squashfs cannot hold user.a: it is lost on file-0 and 499999 more',
    'squashfs cannot hold user.b: it is lost on other',
  ]);
});

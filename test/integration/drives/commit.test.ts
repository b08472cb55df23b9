import { copyFile, open, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { execa } from 'execa';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { commit, findJournal } from '../../../src/drives/files/write/commit.ts';
import type { Change } from '../../../src/drives/files/write/work-image.ts';
import { checkDrive, driveInfo, listFiles, removeFromDrive } from '../../../src/drives/index.ts';
import { fileBlocks } from '../../../src/host/disk/blocks.ts';
import type { NbdDisk } from '../../../src/host/disk/nbd.ts';
import { Ext4 } from '../../../src/host/ext4/filesystem.ts';
import { type WorkDirectory, workDirectory } from '../../../src/host/temp.ts';

const env = { PATH: `${process.env.PATH}:/usr/sbin:/sbin` };
const blockSize = 4096;

let top: WorkDirectory;
const path = (name: string) => join(top.path, name);
let changes: Change[];
beforeAll(async () => {
  top = await workDirectory({ bytes: 256 * 2 ** 20 });
  await execa('mke2fs', ['-q', '-t', 'ext4', '-b', String(blockSize), path('before'), '64M'], { env });
  await copyFile(path('before'), path('after'));
  await writeFile(path('source'), 'content\n');
  const commands = [
    'mkdir folder',
    'cd folder',
    ...Array.from({ length: 40 }, (_, n) => `write ${path('source')} file${n}`),
  ];
  await writeFile(path('commands'), commands.join('\n'));
  await execa('debugfs', ['-w', '-f', path('commands'), path('after')], { env });
  changes = await differences();
});
afterAll(() => top[Symbol.asyncDispose]());

async function differences(): Promise<Change[]> {
  await using before = await open(path('before'));
  await using after = await open(path('after'));
  const found: Change[] = [];
  const size = (await before.stat()).size;
  for (let offset = 0; offset < size; offset += blockSize) {
    const [a, b] = [Buffer.alloc(blockSize), Buffer.alloc(blockSize)];
    await before.read(a, 0, blockSize, offset);
    await after.read(b, 0, blockSize, offset);
    if (!a.equals(b)) found.push({ offset, data: b });
  }
  return found;
}

class Cut extends Error {}

/** A disk on a file whose power is cut off at a write, half of which is still carried out. @returns whether it was */
async function commitWithCut(file: string, at: number | 'first in place'): Promise<boolean> {
  let cutAt = at === 'first in place' ? Number.POSITIVE_INFINITY : at;
  await using handle = await open(file, 'r+');
  const { size } = await handle.stat();
  let writes = 0;
  const disk: NbdDisk = {
    ...fileBlocks(handle, size),
    async write(offset, bytes) {
      writes++;
      const isOpened = Buffer.from(bytes).readUInt32BE(4) === 4 && Buffer.from(bytes).readUInt32BE(28) !== 0;
      if (at === 'first in place' && isOpened) cutAt = writes + 1;
      const half = Math.floor(bytes.length / 2 / blockSize) * blockSize;
      await handle.write(bytes, 0, writes === cutAt ? half : bytes.length, offset);
      if (writes === cutAt) throw new Cut();
    },
    async flush() {},
    async [Symbol.asyncDispose]() {},
  };
  try {
    await commit(disk, await findJournal(await Ext4.open(disk)), changes);
    return false;
  } catch (error) {
    if (error instanceof Cut) return true;
    throw error;
  }
}

it('cut off at any write, a commit is there as a whole or not at all, once the journal is replayed', async () => {
  const seen = new Set<number>();
  let replays = 0;
  for (let cutAt = 1; ; cutAt++) {
    const file = path('drive');
    await copyFile(path('before'), file);
    const wasCut = await commitWithCut(file, cutAt);
    const { stdout: state } = await execa('debugfs', ['-R', 'show_super_stats -h', file], { env });
    if (state.includes('needs_recovery')) replays++;
    const replayed = await execa('e2fsck', ['-p', file], { env, reject: false });
    expect(replayed.exitCode, `cut ${cutAt}: ${replayed.stdout}${replayed.stderr}`).toBeLessThanOrEqual(1);
    const checked = await execa('e2fsck', ['-fn', file], { env, reject: false });
    expect({ cutAt, status: checked.exitCode, said: checked.stdout }).toMatchObject({ status: 0 });
    const { stdout } = await execa('debugfs', ['-R', 'ls -p /folder', file], { env });
    seen.add(stdout.match(/\/file\d+\//g)?.length ?? 0);
    if (!wasCut) break;
  }
  expect([...seen].sort((a, b) => a - b)).toEqual([0, 40]);
  expect(replays).toBeGreaterThan(2);
});

it('a drive that was cut off in a commit is read as if replayed, and replayed when it is written to', async () => {
  const file = path('cut');
  await copyFile(path('before'), file);
  expect(await commitWithCut(file, 'first in place')).toBe(true);
  const drive = path('cut.qcow2');
  await execa('qemu-img', ['convert', '-O', 'qcow2', file, drive]);
  const names = async () => {
    let count = 0;
    for await (const { path: name } of listFiles(drive, '/folder', { recursive: false }))
      if (name.startsWith('file')) count++;
    return count;
  };
  expect((await driveInfo(drive)).state).toBe('journal');
  expect(await names()).toBe(40);
  expect((await driveInfo(drive)).state).toBe('journal');
  expect(await checkDrive(drive, { repair: false })).toMatchObject({ sound: true, replayed: true });
  expect(await removeFromDrive(drive, ['/folder/file7'], { recursive: false })).toBe(1);
  expect((await driveInfo(drive)).state).toBe('clean');
  expect(await names()).toBe(39);
  expect(await checkDrive(drive, { repair: false })).toMatchObject({ sound: true, replayed: false });
});

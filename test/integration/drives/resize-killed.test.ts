import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { execa } from 'execa';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { resizeDrive } from '../../../src/drives/index.ts';
import { type WorkDirectory, workDirectory } from '../../../src/host/temp.ts';
import { fillDisks, killResizes, smallDisk } from './killed-resize.ts';
import { copyOf, cutShort, expectPlain, makeSample, mib, mounts, type Sample } from './resize-drive.ts';

let top: WorkDirectory;
let sample: Sample;
beforeAll(async () => {
  top = await workDirectory({ bytes: 2 ** 30 });
  sample = await makeSample(top.path);
});
afterAll(async () => {
  await top[Symbol.asyncDispose]();
});

test.each([
  { when: 'at 12 random moments', rounds: 12, late: false },
  { when: 'at 6 random moments while the new drive is put in place', rounds: 6, late: true },
])('killed $when: the drive is whole each time, and a second run completes it', {
  timeout: 3_600_000,
}, async ({ rounds, late }) => {
  const seen = await killResizes(sample, join(top.path, 'killed'), { rounds, late });
  expect(late ? seen.overlay : seen.old).toBeGreaterThan(0);
  expect(await mounts()).toEqual([]);
});

test.runIf(process.getuid?.() === 0)(
  'a disk that is full before stops it at once, and leaves all as it was',
  async () => {
    await using disk = await smallDisk(join(top.path, 'small'), 256 * mib);
    const folder = join(disk.path, 'drive');
    const full = await copyOf(sample, folder);
    const before = await readFile(full);
    await disk.fill();
    await expect(resizeDrive(full, { size: '+1G' })).rejects.toThrow(
      /has \d+ MiB free, and up to \d+ MiB are needed/,
    );
    await expect(resizeDrive(full, { size: '+1G', method: 'copy' })).rejects.toThrow(/MiB are needed/);
    expect((await readFile(full)).equals(before)).toBe(true);
    await expectPlain(full);
  },
);

test.runIf(process.getuid?.() === 0)(
  'a disk that fills up at 4 random moments leaves the drive whole, and a second run completes it',
  { timeout: 3_600_000 },
  async () => {
    await using disk = await smallDisk(join(top.path, 'small'), 256 * mib);
    expect((await fillDisks(sample, disk, 4)).length).toBeGreaterThan(0);
  },
);

test.runIf(process.getuid?.() === 0)(
  'a disk that fills up while the new drive is merged leaves the new drive, and a second run completes it',
  async () => {
    await using disk = await smallDisk(join(top.path, 'small'), 64 * mib);
    const drive = await copyOf(sample, join(disk.path, 'drive'));
    await cutShort(drive, '512M');
    await execa('qemu-io', ['-f', 'qcow2', '-c', 'write -P 0xab 300M 8M', drive]);
    const intact = async () => {
      const { stdout } = await execa('qemu-io', ['-r', '-f', 'qcow2', '-c', 'read -P 0xab 300M 8M', drive]);
      expect(stdout).not.toMatch(/Pattern verification failed/);
    };
    await disk.fill();
    await expect(resizeDrive(drive, { size: '512M' })).rejects.toMatchObject({
      message: expect.stringContaining('No space left on device'),
      hint: 'make room, and run the same command again',
      details: [expect.stringContaining('The drive is whole and has its new size')],
    });
    await intact();
    await disk.empty();
    expect(await resizeDrive(drive, { size: '512M' })).toMatchObject({ outcome: 'completed' });
    await intact();
    await expectPlain(drive);
  },
);

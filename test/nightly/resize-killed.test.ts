import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type WorkDirectory, workDirectory } from '../../src/host/temp.ts';
import { fillDisks, killResizes, smallDisk } from '../integration/drives/killed-resize.ts';
import { makeSample, mib, mounts, type Sample } from '../integration/drives/resize-drive.ts';

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
  { when: 'at 50 random moments', rounds: 50, late: false },
  { when: 'at 20 random moments while the new drive is put in place', rounds: 20, late: true },
])('killed $when: the drive is whole each time, and a second run completes it', {
  timeout: 3_600_000,
}, async ({ rounds, late }) => {
  const seen = await killResizes(sample, join(top.path, 'killed'), { rounds, late });
  expect(late ? seen.overlay : seen.old).toBeGreaterThan(0);
  expect(await mounts()).toEqual([]);
});

test.runIf(process.getuid?.() === 0)(
  'a disk that fills up at 12 random moments leaves the drive whole, and a second run completes it',
  { timeout: 3_600_000 },
  async () => {
    await using disk = await smallDisk(join(top.path, 'small'), 256 * mib);
    expect((await fillDisks(sample, disk, 12)).length).toBeGreaterThan(0);
  },
);

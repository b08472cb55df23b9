import { createHash } from 'node:crypto';
import { chmod, cp, mkdir, readdir, readFile, stat, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { execa } from 'execa';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { listDrive, makeDrive, readDriveFile } from '../../../src/drives/index.ts';
import { type WorkDirectory, workDirectory } from '../../../src/host/temp.ts';

const env = { PATH: `${process.env.PATH}:/usr/sbin:/sbin` };
const mib = 2 ** 20;

let top: WorkDirectory;
let content: string;
beforeEach(async () => {
  top = await workDirectory();
  content = join(top.path, 'content');
  await mkdir(join(content, 'nvflare/startup'), { recursive: true });
  await writeFile(join(content, 'nvflare/startup/sub_start.sh'), '#!/bin/sh\n');
  await chmod(join(content, 'nvflare/startup/sub_start.sh'), 0o751);
  for (let i = 0; i < 40; i++)
    await writeFile(join(content, `nvflare/file ${(i * 37) % 40}`), `${i}\n`.repeat(i * 50));
});
afterEach(async () => {
  await top[Symbol.asyncDispose]();
});

async function make(name: string, options: Partial<Parameters<typeof makeDrive>[0]> = {}): Promise<string> {
  const file = join(top.path, name);
  await using work = await workDirectory();
  await makeDrive({
    file,
    bytes: 64 * mib,
    label: 'user_config',
    seed: 'a',
    workDirectory: work.path,
    ...options,
  });
  expect(await readdir(work.path)).not.toContain('user_config.raw');
  return file;
}

const digest = async (file: string) =>
  createHash('sha256')
    .update(await readFile(file))
    .digest('hex');

async function inspect(file: string) {
  const raw = `${file}.raw`;
  await execa('qemu-img', ['convert', '-f', 'qcow2', '-O', 'raw', file, raw]);
  const check = await execa('e2fsck', ['-fn', raw], { env, reject: false });
  const header = await execa('dumpe2fs', ['-h', raw], { env });
  const show = async (request: string) => (await execa('debugfs', ['-R', request, raw], { env })).stdout;
  return { check, header: header.stdout, show };
}

test('a drive holds exactly the content, owned by root, and e2fsck finds nothing', async () => {
  const file = await make('a.qcow2', { content });
  const { check, header, show } = await inspect(file);
  expect(check.exitCode, check.stdout).toBe(0);
  expect(header).toMatch(/^Reserved block count: +0$/m);
  expect(header).toMatch(/^Filesystem volume name: +user_config$/m);
  expect((await listDrive(file, '/'))?.map(({ name }) => name)).toEqual(['nvflare']);
  expect(await show('stat /nvflare/startup/sub_start.sh')).toMatch(/Mode: {2}0751[\s\S]*User: +0 +Group: +0/);
  expect(await show('stat /nvflare')).toMatch(/User: +0 +Group: +0/);
  expect(String(await readDriveFile(file, 'nvflare/file 3', { maxBytes: mib }))).toBe(
    await readFile(join(content, 'nvflare/file 3'), 'utf8'),
  );
});

test('the same content and seed give the same bytes, in another folder and at another time', async () => {
  const first = await make('a.qcow2', { content });
  const copy = join(top.path, 'elsewhere');
  await mkdir(copy);
  for (const name of (await readdir(join(content, 'nvflare'))).reverse()) {
    await cp(join(content, 'nvflare', name), join(copy, 'nvflare', name), { recursive: true });
  }
  await utimes(join(copy, 'nvflare/file 7'), 1e9, 1e9);
  const second = await make('b.qcow2', { content: copy });
  expect(await digest(second)).toBe(await digest(first));
  const { show } = await inspect(second);
  for (const path of ['/', '/nvflare', '/nvflare/file\\ 7', '/nvflare/startup/sub_start.sh']) {
    const times = (await show(`stat "${path.replace('\\', '')}"`)).match(
      /[acm]r?time: 0x[0-9a-f]+:[0-9a-f]+/g,
    );
    expect(times, path).toHaveLength(4);
    for (const time of times!) expect(time).toMatch(/0x12cff780:00000000$/);
  }
});

test('the features are ours, whatever mke2fs.conf of this machine says', async () => {
  const { header } = await inspect(await make('a.qcow2'));
  expect(/^Filesystem features: +(.*)$/m.exec(header)?.[1]?.split(' ').sort()).toEqual(
    'has_journal ext_attr resize_inode dir_index filetype extent 64bit flex_bg sparse_super large_file huge_file dir_nlink extra_isize metadata_csum'
      .split(' ')
      .sort(),
  );
  expect(header).toMatch(/^Block size: +4096$/m);
  expect(header).toMatch(/^Journal size: |^Total journal size: /m);
});

test('another seed gives other identifiers', async () => {
  const uuid = async (file: string) => /^Filesystem UUID: +(.*)$/m.exec((await inspect(file)).header)?.[1];
  const [a, b] = [await make('a.qcow2'), await make('b.qcow2', { seed: 'b' })];
  expect(await uuid(a)).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
  expect(await uuid(b)).not.toBe(await uuid(a));
});

test('an empty drive is clean, small, reproducible, and keeps lost+found for repairs', async () => {
  const bytes = 20 * 1024 * mib;
  const a = await make('a.qcow2', { label: 'applog', bytes });
  const b = await make('b.qcow2', { label: 'applog', bytes });
  expect(await digest(a)).toBe(await digest(b));
  expect((await stat(a)).size).toBeLessThan(16 * mib);
  expect((await listDrive(a, '/'))?.map(({ name }) => name)).toEqual(['lost+found']);
  expect((await inspect(a)).check.exitCode).toBe(0);
  const info = JSON.parse((await execa('qemu-img', ['info', '--output=json', a])).stdout);
  expect(info['virtual-size']).toBe(bytes);
  expect(info['format-specific'].data).toMatchObject({ compat: '1.1', 'lazy-refcounts': false });
});

test('a drive with content keeps lost+found where it is wanted, so that a check asks its owner nothing', async () => {
  const [a, b] = [
    await make('a.qcow2', { content, lostAndFound: true }),
    await make('b.qcow2', { content, lostAndFound: true }),
  ];
  expect(await digest(a)).toBe(await digest(b));
  expect((await listDrive(a, '/'))?.map(({ name }) => name).sort()).toEqual(['lost+found', 'nvflare']);
  const { show, check } = await inspect(a);
  expect(check.exitCode).toBe(0);
  for (const time of (await show('stat /lost+found')).match(/[acm]r?time: 0x[0-9a-f]+/g)!)
    expect(time).toMatch(/0x12cff780$/);
});

test.each([
  ['more bytes than the drive has', async () => writeFile(join(content, 'big'), Buffer.alloc(70 * mib, 1))],
  [
    'more bytes than the file system leaves',
    async () => writeFile(join(content, 'big'), Buffer.alloc(60 * mib, 1)),
  ],
])('content of %s is refused with sizes and the key to raise', async (_, fill) => {
  await fill();
  await expect(make('a.qcow2', { content })).rejects.toMatchObject({
    message: expect.stringMatching(
      /cannot fill drive user_config: its content of \d+ MiB .* does not fit 64 MiB/,
    ),
    hint: 'raise user_config_drive_size',
  });
  expect((await readdir(top.path)).filter((name) => name.includes('qcow2'))).toEqual([]);
});

test('more files than inodes are refused the same way', async () => {
  await mkdir(join(content, 'many'));
  for (let i = 0; i < 1200; i++) await writeFile(join(content, `many/${i}`), '');
  await expect(make('a.qcow2', { content, bytes: 16 * mib })).rejects.toThrow(/does not fit 16 MiB/);
});

test('an abort leaves no drive behind', async () => {
  await expect(make('a.qcow2', { content, signal: AbortSignal.abort(new Error('stopped')) })).rejects.toThrow(
    'stopped',
  );
  expect(await readdir(top.path)).toEqual(['content']);
});

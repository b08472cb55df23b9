import { access, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { execa } from 'execa';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { listDrive, makeDrive, openDrive, readDriveFile } from '../../../src/drives/index.ts';
import { type WorkDirectory, workDirectory } from '../../../src/host/temp.ts';

const env = { PATH: `${process.env.PATH}:/usr/sbin:/sbin` };
const maxBytes = 2 ** 20;

let top: WorkDirectory;
let hostile: string;
beforeAll(async () => {
  top = await workDirectory();
  hostile = await crafted('hostile', [
    'write source boot.log',
    'symlink link /etc/passwd',
    'mknod null c 1 3',
    'mknod pipe p',
    'mkdir folder',
    'cd folder',
    'write source inner',
    'write source "with blank"',
    'write source "; dump <12> x"',
    'write source "..x"',
    'cd /',
    'symlink jump folder',
    'write source ../../escape',
    // A size far beyond its blocks, as a bomb for whoever reads without a bound.
    'write source bomb',
    'set_inode_field bomb size 0x100000000000',
  ]);
});
afterAll(async () => {
  await top[Symbol.asyncDispose]();
});

/** A drive changed by debugfs requests, as a host could. */
async function crafted(name: string, requests: string[]): Promise<string> {
  const file = join(top.path, `${name}.qcow2`);
  const raw = join(top.path, `${name}.raw`);
  await makeDrive({ file, bytes: 32 * 2 ** 20, label: 'applog', seed: 'a', workDirectory: top.path });
  await execa('qemu-img', ['convert', '-f', 'qcow2', '-O', 'raw', file, raw]);
  await writeFile(join(top.path, 'source'), 'hello\n');
  const script = join(top.path, `${name}.requests`);
  await writeFile(script, requests.map((request) => `${request}\n`).join(''));
  await execa('debugfs', ['-w', '-f', script, raw], { env, cwd: top.path });
  await execa('qemu-img', ['convert', '-f', 'raw', '-O', 'qcow2', raw, file]);
  return file;
}

test('a regular file is read, an absent one is undefined', async () => {
  expect(String(await readDriveFile(hostile, '/boot.log', { maxBytes }))).toBe('hello\n');
  expect(String(await readDriveFile(hostile, 'folder/with blank', { maxBytes }))).toBe('hello\n');
  expect(String(await readDriveFile(hostile, 'folder/; dump <12> x', { maxBytes }))).toBe('hello\n');
  for (const path of ['absent', 'absent/x', 'boot.log/x', 'folder/../boot.log']) {
    expect(await readDriveFile(hostile, path, { maxBytes }), path).toBeUndefined();
  }
});

test.each(['link', 'null', 'pipe', 'folder'])('%s is refused as a file', async (path) => {
  await expect(readDriveFile(hostile, path, { maxBytes })).rejects.toThrow(/not a regular file/);
});

test('links to folders are not followed', async () => {
  expect(await readDriveFile(hostile, 'jump/inner', { maxBytes })).toBeUndefined();
  await expect(listDrive(hostile, 'jump')).rejects.toThrow(/not a folder/);
});

test('a file over the bound is refused by its size, also when the size is a lie', async () => {
  await expect(readDriveFile(hostile, 'boot.log', { maxBytes: 3 })).rejects.toThrow(
    /has 6 bytes, more than 3/,
  );
  await expect(readDriveFile(hostile, 'bomb', { maxBytes })).rejects.toThrow(/more than 1048576/);
});

test('a folder is listed with types, and names from the drive never become files here', async () => {
  await using drive = await openDrive(hostile);
  const entries = await drive.list('/');
  const kinds = Object.fromEntries(entries!.map(({ name, kind }) => [name, kind]));
  expect(kinds).toMatchObject({
    'boot.log': 'file',
    folder: 'folder',
    link: 'other',
    null: 'other',
    jump: 'other',
  });
  expect((await drive.list('folder'))?.map(({ name }) => name).sort()).toEqual([
    '..x',
    '; dump <12> x',
    'inner',
    'with blank',
  ]);
  expect(await drive.list('nowhere')).toBeUndefined();
  await expect(access(join(top.path, '../escape'))).rejects.toThrow();
});

test('the private copy is gone afterwards, also after a failure', async () => {
  const copies = async () => (await readdir('/dev/shm')).filter((name) => name.includes(`-${process.pid}-`));
  const before = await copies();
  await readDriveFile(hostile, 'boot.log', { maxBytes });
  await expect(readDriveFile(hostile, 'link', { maxBytes })).rejects.toThrow();
  expect(await copies()).toEqual(before);
});

test('a drive that names another file of this machine is refused before a tool opens it', async () => {
  const secret = join(top.path, 'secret');
  await writeFile(secret, Buffer.alloc(2 ** 20, 'x'));
  const backed = join(top.path, 'backed.qcow2');
  await execa('qemu-img', ['create', '-f', 'qcow2', '-b', secret, '-F', 'raw', backed]);
  await expect(openDrive(backed)).rejects.toThrow(/names a backing file/);
  const external = join(top.path, 'external.qcow2');
  await execa('qemu-img', [
    'create',
    '-f',
    'qcow2',
    '-o',
    `data_file=${secret}2,data_file_raw=on`,
    external,
    '1M',
  ]);
  await expect(openDrive(external)).rejects.toThrow(/names an external data file/);
});

test('a drive without ext4 is refused in words', async () => {
  const blank = join(top.path, 'blank.qcow2');
  await execa('qemu-img', ['create', '-f', 'qcow2', blank, '1M']);
  await expect(openDrive(blank)).rejects.toThrow(/no ext4 file system/);
});

test('a damaged file system ends in an error, not in a hang', async () => {
  const damaged = await crafted('damaged', ['mkdir folder', 'clri <2>']);
  await expect(listDrive(damaged, '/')).rejects.toThrow(/cannot|debugfs/);
});

test('what lies in the journal alone is read: a VM that stopped without closing the drive', async () => {
  // Block 0 of the folder is written through the journal; the drive's own block is as before.
  const file = await crafted('journal', ['write source boot.log']);
  const raw = join(top.path, 'journal.raw');
  const inode = Number(
    /^Inode: (\d+)/m.exec((await execa('debugfs', ['-R', 'stat boot.log', raw], { env })).stdout)?.[1],
  );
  const { stdout } = await execa('debugfs', ['-R', `blocks <${inode}>`, raw], { env });
  const block = stdout.trim();
  const newBlock = join(top.path, 'block');
  await writeFile(newBlock, Buffer.concat([Buffer.from('later\n'), Buffer.alloc(4090)]));
  const script = join(top.path, 'journal.script');
  await writeFile(script, `journal_open\njournal_write -b ${block} ${newBlock}\njournal_close\n`);
  await execa('debugfs', ['-w', '-f', script, raw], { env });
  const { stdout: header } = await execa('dumpe2fs', ['-h', raw], { env });
  expect(header).toContain('needs_recovery');
  await execa('qemu-img', ['convert', '-f', 'raw', '-O', 'qcow2', raw, file]);
  expect(String(await readDriveFile(file, 'boot.log', { maxBytes }))).toBe('later\n');
});

test('a drive that a VM has open is read all the same', async () => {
  await using qemu = execa('qemu-io', ['-f', 'qcow2', hostile], {
    stdin: 'pipe',
    reject: false,
  }) as unknown as AsyncDisposable & {
    stdin: NodeJS.WritableStream;
    stdout: AsyncIterable<Buffer>;
  };
  qemu.stdin.write('read 0 512\n');
  for await (const chunk of qemu.stdout) if (String(chunk).includes('read 512')) break;
  expect(String(await readDriveFile(hostile, 'boot.log', { maxBytes }))).toBe('hello\n');
  qemu.stdin.end('quit\n');
});

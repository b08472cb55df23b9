import {
  copyFile,
  link,
  mkdir,
  readdir,
  readFile,
  stat,
  symlink,
  truncate,
  writeFile,
} from 'node:fs/promises';
import { join } from 'node:path';
import { execa } from 'execa';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { makeDrive, resizeDrive } from '../../../src/drives/index.ts';
import { type WorkDirectory, workDirectory } from '../../../src/host/temp.ts';
import { env, mib } from './resize-drive.ts';

let top: WorkDirectory;
let plain: string;
let folder: string;
let drive: string;
beforeAll(async () => {
  top = await workDirectory({ bytes: 2 ** 28 });
  plain = join(top.path, 'plain.qcow2');
  await makeDrive({ file: plain, bytes: 64 * mib, label: 'user_data', seed: 's', workDirectory: top.path });
});
afterAll(async () => {
  await top[Symbol.asyncDispose]();
});
let count = 0;
beforeEach(async () => {
  folder = join(top.path, `case-${count++}`);
  await mkdir(folder);
  drive = join(folder, 'user_data.qcow2');
  await copyFile(plain, drive);
});

/** The drive's file is not touched, and nothing is left beside it. */
async function expectRefused(message: RegExp, names?: readonly string[]): Promise<void> {
  const before = { bytes: await readFile(drive), names: await readdir(folder) };
  await expect(resizeDrive(drive, { size: '+64M' })).rejects.toThrow(message);
  expect(before.bytes.equals(await readFile(drive))).toBe(true);
  expect(await readdir(folder)).toEqual(names ?? before.names);
}

/** Puts a raw disk in the drive's place. */
async function fromRaw(make: (raw: string) => Promise<unknown>): Promise<void> {
  const raw = join(top.path, 'raw');
  await writeFile(raw, '');
  await truncate(raw, 64 * mib);
  await make(raw);
  await execa('qemu-img', ['convert', '-f', 'raw', '-O', 'qcow2', raw, drive]);
}

test.each([
  [[]],
  [['-r']],
])('a drive that a VM has open is refused, also one that only reads it (%j)', async (mode) => {
  const vm = execa('qemu-io', [...mode, '-f', 'qcow2', drive], { stdin: 'pipe', stdout: 'pipe' });
  vm.stdin.write('length\n');
  await new Promise((resolve) => vm.stdout.once('data', resolve));
  await expectRefused(/a running VM or another program has it open/);
  vm.stdin.end();
  await vm;
});

test('a drive with a backing file or an internal snapshot is refused, with what to do', async () => {
  await execa('qemu-img', ['snapshot', '-c', 'before', drive]);
  await expectRefused(/it holds 1 internal snapshots/);
  await execa('qemu-img', ['create', '-q', '-f', 'qcow2', '-b', plain, '-F', 'qcow2', drive]);
  await expectRefused(/it has a backing file, ".*plain\.qcow2"/);
  await expect(resizeDrive(drive, { size: '1G' })).rejects.toMatchObject({
    hint: expect.stringContaining('qemu-img convert'),
  });
});

test('an overlay like our own that leads to another file is refused, and nothing is written there', async () => {
  const secret = join(top.path, `secret-${count}`);
  await writeFile(secret, 'not for the host\n'.repeat(5000));
  const base = join(folder, '.user_data.qcow2.resize-base');
  await symlink(secret, base);
  const backing = ['-u', '-F', 'raw', '-b', './.user_data.qcow2.resize-base'];
  await execa('qemu-img', ['create', '-q', '-f', 'qcow2', ...backing, drive, '1G']);
  await expectRefused(/\.resize-base is not the file that was left there/);
  const other = join(folder, 'other');
  await writeFile(other, 'x');
  await execa('ln', ['-f', secret, base]);
  await expectRefused(/is not the file that was left there/);
  // A plain file under that name that is itself no plain drive.
  await execa('rm', [base]);
  await execa('qemu-img', ['create', '-q', '-f', 'qcow2', '-u', '-b', secret, '-F', 'raw', base, '1G']);
  await expectRefused(/it names a backing file/);
  // An overlay that keeps its data in a file of this machine.
  await copyFile(plain, base);
  const options = `data_file=${join(folder, 'data')},data_file_raw=off`;
  await execa('qemu-img', ['create', '-q', '-f', 'qcow2', ...backing, '-o', options, drive, '1G']);
  await expectRefused(/it names an external data file/);
  expect(String(await readFile(secret))).toBe('not for the host\n'.repeat(5000));
});

test('what is no plain ext4 drive is refused by its name', async () => {
  await fromRaw((raw) => execa('mke2fs', ['-q', '-F', '-t', 'ext3', raw], { env }));
  await expectRefused(/ext2 or ext3, not ext4/);
  await fromRaw((raw) => execa('sfdisk', ['-q', raw], { env, input: ',,L\n' }));
  await expectRefused(/partition table/);
  await fromRaw((raw) => execa('sfdisk', ['-q', raw], { env, input: 'label: gpt\n,,L\n' }));
  await expectRefused(/partition table/);
  await fromRaw((raw) => writeFile(raw, 'LUKS\xba\xbe\0\x02', { encoding: 'latin1', flag: 'r+' }));
  await expectRefused(/it is an encrypted drive/);
  await fromRaw(async () => {});
  await expectRefused(/it has no ext4 file system/);
  await writeFile(drive, 'words');
  await expectRefused(/it is not a qcow2 drive/);
});

test('a journal on another device is refused before e2fsck looks for it on this machine', async () => {
  await fromRaw(async (raw) => {
    const journal = join(top.path, 'journal');
    await writeFile(journal, '');
    await truncate(journal, 64 * mib);
    await execa('mke2fs', ['-q', '-F', '-O', 'journal_dev', '-b', '4096', journal], { env });
    const uuid = /UUID: +(\S+)/.exec((await execa('dumpe2fs', ['-h', journal], { env })).stdout)?.[1];
    await execa('mke2fs', ['-q', '-F', '-t', 'ext4', '-b', '4096', raw], { env });
    // As a hostile host does it: has_journal stays, the journal's inode goes, and the UUID names a device.
    const requests = ['set_super_value journal_inum 0', `set_super_value journal_uuid ${uuid}`];
    const script = join(top.path, 'requests');
    await writeFile(script, `${requests.join('\n')}\n`);
    await execa('debugfs', ['-w', '-f', script, raw], { env });
  });
  await expectRefused(/the journal of its file system is on another device/);
});

test('symbolic links, further names, folders and files of others are refused', async () => {
  await link(drive, join(folder, 'backup.qcow2'));
  await expectRefused(/it has 2 names/);
  const away = join(folder, 'away.qcow2');
  await symlink(drive, away);
  await expect(resizeDrive(away, { size: '1G' })).rejects.toThrow(/it is a symbolic link/);
  await expect(resizeDrive(folder, { size: '1G' })).rejects.toThrow(/not a regular file/);
  await expect(resizeDrive(join(folder, 'absent'), { size: '1G' })).rejects.toThrow(/there is no such file/);
});

test('a file that happens to have the name of ours beside the drive is left alone', async () => {
  await writeFile(join(folder, '.user_data.qcow2.resize-base'), 'somebody else’s');
  await expectRefused(/is there and is no part of it/);
});

test('a damaged file system is refused, and repaired where that is asked for', async () => {
  const raw = join(top.path, 'raw');
  await execa('qemu-img', ['convert', '-f', 'qcow2', '-O', 'raw', plain, raw]);
  // The root folder's inode is gone.
  await execa('debugfs', ['-w', '-R', 'clri <2>', raw], { env });
  await execa('qemu-img', ['convert', '-f', 'raw', '-O', 'qcow2', raw, drive]);
  await expectRefused(/its file system is damaged/);
  expect(await resizeDrive(drive, { size: '+64M', repair: true })).toMatchObject({ outcome: 'resized' });
  expect((await stat(drive)).nlink).toBe(1);
});

test('the device of the kernel is refused to all but root with the module', async () => {
  const usable =
    process.getuid?.() === 0 && (await stat('/sys/block/nbd0').catch(() => undefined)) !== undefined;
  const resized = resizeDrive(drive, { size: '128M', method: 'kernel-nbd' });
  if (usable) expect(await resized).toMatchObject({ outcome: 'resized' });
  else await expect(resized).rejects.toThrow(/needs root, and the module nbd/);
});

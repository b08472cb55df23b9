import { renameSync } from 'node:fs';
import { lstat, mkdir, open, readFile, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import { execa } from 'execa';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { WorkImage } from '../../../src/drives/files/write/work-image.ts';
import {
  type CopyOptions,
  checkDrive,
  copyFromDrive,
  copyToDrive,
  listFiles,
  makeDrive,
  removeFromDrive,
} from '../../../src/drives/index.ts';
import { serveDrive } from '../../../src/drives/serve.ts';
import { type WorkDirectory, workDirectory } from '../../../src/host/temp.ts';

const cvm = fileURLToPath(new URL('../../../src/cli/main.ts', import.meta.url));
const env = { PATH: `${process.env.PATH}:/usr/sbin:/sbin` };

let top: WorkDirectory;
beforeAll(async () => {
  top = await workDirectory({ bytes: 256 * 2 ** 20 });
});
afterAll(() => top[Symbol.asyncDispose]());

async function newDrive(name: string): Promise<string> {
  const file = join(top.path, `${name}.qcow2`);
  await makeDrive({
    file,
    bytes: 32 * 2 ** 20,
    label: 'user_data',
    seed: name,
    workDirectory: top.path,
  });
  return file;
}

const options: CopyOptions = { recursive: true, verify: false, progress: () => {}, warn: () => {} };

async function names(drive: string, path = '/'): Promise<string[]> {
  const found: string[] = [];
  for await (const entry of listFiles(drive, path, { recursive: true })) found.push(entry.path);
  return found;
}

/** Changes a drive's file system with the tools, as a host would. */
async function altered(drive: string, change: (raw: string) => Promise<void>): Promise<void> {
  const raw = `${drive}.raw`;
  await execa('qemu-img', ['convert', '-O', 'raw', drive, raw]);
  await change(raw);
  await execa('qemu-img', ['convert', '-O', 'qcow2', raw, drive]);
}

async function byScript(raw: string, commands: string[]): Promise<void> {
  await writeFile(`${raw}.commands`, `${commands.join('\n')}\n`);
  await execa('debugfs', ['-w', '-f', `${raw}.commands`, raw], { env });
}

describe('names that mean something to the tools', () => {
  it('a folder named <2> is a folder, and not a way to the root of the drive', async () => {
    const drive = await newDrive('inode-names');
    const data = join(top.path, 'data set');
    await mkdir(join(data, '<2>'), { recursive: true });
    await writeFile(join(data, '<2>', 'ext_mount.conf'), 'attacker.example.com:/data\n');
    await writeFile(join(data, '<8>'), 'x'.repeat(10_000));
    await copyToDrive([data], drive, '/', { ...options, verify: true });
    expect(await names(drive)).toEqual([
      'data set',
      'data set/<2>',
      'data set/<2>/ext_mount.conf',
      'data set/<8>',
      'lost+found',
    ]);
    expect(await checkDrive(drive, { repair: false })).toMatchObject({ sound: true });
    await removeFromDrive(drive, ['/data set'], { recursive: true });
    expect(await names(drive)).toEqual(['lost+found']);
    expect(await checkDrive(drive, { repair: false })).toMatchObject({ sound: true });
  });
});

describe('a label and names that steer a terminal', () => {
  it.each([
    'info',
    'info --json',
    'check --json',
    'ls',
    'ls --json',
  ])('are spelled out by cvm drive %s', async (command) => {
    const drive = await newDrive(`terminal ${command}`);
    await altered(drive, async (raw) => {
      await execa('tune2fs', ['-L', '\u009b31m\u202e', raw], { env });
      await byScript(raw, ['write /dev/null "a\u009b2J\u202eb"', 'set_inode_field <2> links_count 9']);
    });
    const { stdout } = await execa(process.execPath, [cvm, 'drive', ...command.split(' '), drive], {
      reject: false,
    });
    expect(stdout).not.toBe('');
    expect(stdout).toMatch(/^[\n\x20-\x7e]*$/);
  });

  it('a file without a line break is printed on a terminal piece by piece', async () => {
    const drive = await newDrive('one-line');
    const file = join(top.path, 'one-line');
    await writeFile(file, 'x\u001b'.repeat(5 * 2 ** 20));
    await copyToDrive([file], drive, '/', options);
    // script(1) gives it a terminal.
    const line = `${process.execPath} ${cvm} drive cat ${drive}:/one-line`;
    const { stdout } = await execa('script', ['-qec', line, '/dev/null'], { maxBuffer: 2 ** 28 });
    expect(stdout.split('\n').length).toBeGreaterThan(2);
    expect(stdout).not.toContain('\u001b');
  });
});

describe('a drive whose name leads elsewhere', () => {
  it('is not written to through a link', async () => {
    const other = await newDrive('of-another-bundle');
    const before = await readFile(other);
    const link = join(top.path, 'linked.qcow2');
    await symlink(other, link);
    const source = join(top.path, 'one');
    await writeFile(source, 'one\n');
    await expect(copyToDrive([source], link, '/', options)).rejects.toThrow('it is a symbolic link');
    await expect(removeFromDrive(link, ['/lost+found'], { recursive: true })).rejects.toThrow(
      'it is a symbolic link',
    );
    expect(before.equals(await readFile(other))).toBe(true);
  });

  it('is never opened with a backing file, however fast its name changes', async () => {
    const drive = await newDrive('swapped');
    const secret = join(top.path, 'secret.raw');
    await writeFile(secret, Buffer.alloc(32 * 2 ** 20, 'secret'));
    const evil = join(top.path, 'evil.qcow2');
    await execa('qemu-img', ['create', '-q', '-f', 'qcow2', '-b', secret, '-F', 'raw', evil]);
    const good = join(top.path, 'good.qcow2');
    await execa('cp', [drive, good]);
    const worker = new Worker(
      `const { linkSync, renameSync } = require('node:fs');
       const { workerData: [drive, ...files] } = require('node:worker_threads');
       for (let turn = 0; ; turn++) {
         linkSync(files[turn % 2], drive + '.next');
         renameSync(drive + '.next', drive);
       }`,
      { eval: true, workerData: [drive, good, evil] },
    );
    let served = 0;
    try {
      for (let turn = 0; turn < 60; turn++) {
        try {
          await using opened = await serveDrive(drive, { writable: false });
          served += 1;
          const start = await opened.disk.read(0, 6);
          expect(start.toString('latin1')).not.toBe('secret');
        } catch (error) {
          expect(String(error)).toContain('it names a backing file');
        }
      }
    } finally {
      await worker.terminate();
    }
    expect(served).toBeGreaterThan(0);
    renameSync(good, drive);
  });
});

describe('a file system that lies about itself', () => {
  it('a block list that names itself ends at once', async () => {
    const drive = await newDrive('endless-list');
    await altered(drive, async (raw) => {
      const block = 4000;
      await byScript(raw, [
        'write /dev/null file',
        `freeb ${block}`,
        `setb ${block}`,
        'set_inode_field file flags 0',
        'set_inode_field file size 1099511627776',
        `set_inode_field file block[TIND] ${block}`,
      ]);
      await using file = await open(raw, 'r+');
      const numbers = new Uint32Array(1024).fill(block);
      await file.write(new Uint8Array(numbers.buffer), 0, 4096, block * 4096);
    });
    const into = join(top.path, 'endless');
    await mkdir(into);
    await expect(copyFromDrive(drive, ['/file'], into, options)).rejects.toThrow('the block list of inode');
    // It may find it damaged; it must find an end.
    expect((await checkDrive(drive, { repair: false })).sound).toBe(false);
  }, 30_000);

  it('a folder of millions of names is not gathered in memory', async () => {
    const drive = await newDrive('many-names');
    await altered(drive, async (raw) => {
      await execa('truncate', ['-s', '96M', raw]);
      await execa('resize2fs', [raw], { env });
      const block = Buffer.alloc(4096);
      for (let at = 0; at + 12 <= 4096; at += 12) {
        block.writeUInt32LE(11, at);
        block.writeUInt16LE(at + 24 > 4096 ? 4096 - at : 12, at + 4);
        block.writeUInt8(1, at + 6);
        block.write('n', at + 8);
      }
      const entries = join(top.path, 'entries');
      await writeFile(entries, Buffer.concat(Array<Buffer>(12_288).fill(block)));
      await byScript(raw, [`write ${entries} folder`, 'set_inode_field folder mode 040755']);
    });
    await expect(names(drive)).rejects.toThrow('more than 4000000 names');
  }, 60_000);

  it('folders that are larger than the drive end the walk', async () => {
    const drive = await newDrive('large-folders');
    await altered(drive, (raw) =>
      byScript(raw, [
        'mkdir one',
        'mkdir two',
        ...['one', 'two'].map((name) => `set_inode_field ${name} size 20971520`),
      ]),
    );
    await expect(names(drive)).rejects.toThrow('larger than it is itself');
  });

  it('metadata without end does not fill memory or disk here', async () => {
    const folder = join(top.path, 'work');
    await mkdir(folder);
    const read: number[] = [];
    const endless = {
      size: 2 ** 40,
      read: async (offset: number, length: number) => {
        read.push(offset);
        return Buffer.alloc(length, 1);
      },
    };
    await using image = await WorkImage.create(folder, endless, 4096, { room: 8 * 2 ** 20 });
    await expect(image.load(0, 2 ** 20)).rejects.toThrow('more metadata than there is room for');
    expect((await lstat(image.path)).blocks * 512).toBeLessThanOrEqual(8 * 2 ** 20);
  });

  it.each([
    ['first_data_block', 3_000_000],
    ['blocks_per_group', 4],
    ['inodes_per_group', 1_000_000],
  ])('a superblock whose %s is %d is damaged', async (field, value) => {
    const drive = await newDrive(`super-${field}`);
    await altered(drive, (raw) => byScript(raw, [`set_super_value ${field} ${value}`]));
    await expect(names(drive)).rejects.toThrow('its ext4 superblock is damaged');
  });

  it('a journal on a device of this machine is not looked for', async () => {
    const drive = await newDrive('journal-elsewhere');
    await altered(drive, (raw) =>
      byScript(raw, ['set_super_value journal_inum 0', 'set_super_value journal_dev 0x700']),
    );
    for (const repair of [false, true])
      await expect(checkDrive(drive, { repair })).rejects.toThrow('its journal is on another device');
  });

  it('gives nobody else here the right to write to what is copied off', async () => {
    const drive = await newDrive('open-modes');
    await altered(drive, (raw) =>
      byScript(raw, [
        'mkdir d',
        'set_inode_field d mode 041777',
        'write /dev/null f',
        'set_inode_field f mode 0106777',
      ]),
    );
    const into = join(top.path, 'modes');
    await mkdir(into);
    await copyFromDrive(drive, ['/d', '/f'], into, options);
    for (const name of ['d', 'f']) expect((await lstat(join(into, name))).mode & 0o7777).toBe(0o755);
  });
});

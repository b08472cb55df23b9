import { execFileSync } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { chmod, lstat, mkdir, readdir, readFile, stat, symlink, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { execa } from 'execa';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  type CopyOptions,
  catFile,
  checkDrive,
  copyFromDrive,
  copyToDrive,
  driveInfo,
  listFiles,
  makeDrive,
  removeFromDrive,
  setShare,
} from '../../../src/drives/index.ts';
import { serveDrive } from '../../../src/drives/serve.ts';
import { type WorkDirectory, workDirectory } from '../../../src/host/temp.ts';

const env = { PATH: `${process.env.PATH}:/usr/sbin:/sbin` };

let top: WorkDirectory;
let source: string;
const big = randomBytes(3 * 2 ** 20 + 77);
beforeAll(async () => {
  top = await workDirectory({ bytes: 256 * 2 ** 20 });
  source = join(top.path, 'training data');
  await mkdir(join(source, 'a "b"/ü'), { recursive: true });
  await writeFile(join(source, 'a "b"/ü/one'), 'one\n');
  await writeFile(join(source, 'big'), big);
  await writeFile(join(source, 'empty'), '');
  await symlink('/etc/passwd', join(source, 'link'));
  await symlink('x'.repeat(100), join(source, 'long link'));
  await chmod(join(source, 'big'), 0o640);
  await utimes(join(source, 'big'), 1_600_000_000, 1_600_000_000.25);
  execFileSync('sh', [
    '-c',
    'truncate -s 40M "$1"; printf mid | dd of="$1" bs=1 seek=20000000 conv=notrunc status=none',
    'sh',
    join(source, 'sparse'),
  ]);
});
afterAll(() => top[Symbol.asyncDispose]());

async function newDrive(name: string, megabytes = 64): Promise<string> {
  const file = join(top.path, `${name}.qcow2`);
  await makeDrive({
    file,
    bytes: megabytes * 2 ** 20,
    label: 'user_data',
    seed: name,
    workDirectory: top.path,
  });
  return file;
}

const warnings: string[] = [];
const options: CopyOptions = {
  recursive: true,
  verify: true,
  progress: () => {},
  warn: (text) => warnings.push(text),
};

/** e2fsck's and qemu-img's own word on a drive. */
async function expectSound(drive: string): Promise<void> {
  const raw = `${drive}.raw`;
  await execa('qemu-img', ['check', '-q', drive]);
  await execa('qemu-img', ['convert', '-O', 'raw', drive, raw]);
  const { exitCode, stdout } = await execa('e2fsck', ['-fn', raw], { env, reject: false });
  expect({ exitCode, stdout }).toMatchObject({ exitCode: 0 });
}

async function byScript(raw: string, commands: string[]): Promise<void> {
  await writeFile(`${raw}.commands`, `${commands.join('\n')}\n`);
  await execa('debugfs', ['-w', '-f', `${raw}.commands`, raw], { env });
}

/** A file of a drive as debugfs reads it. */
async function byDebugfs(drive: string, path: string): Promise<Buffer> {
  const raw = `${drive}.raw`;
  await execa('qemu-img', ['convert', '-O', 'raw', drive, raw]);
  const { stdout } = await execa('debugfs', ['-R', `cat "${path}"`, raw], {
    env,
    encoding: 'buffer',
    stripFinalNewline: false,
  });
  return Buffer.from(stdout);
}

describe('copying to a drive', () => {
  it('brings folders, links, holes, modes, owners and times, and e2fsck finds nothing wrong', async () => {
    const drive = await newDrive('copied');
    const result = await copyToDrive([source], drive, '/', { ...options, owner: { uid: 70_000, gid: 5 } });
    expect(result).toMatchObject({ files: 4, alike: 0 });
    await expectSound(drive);
    expect(big.equals(await byDebugfs(drive, '/training data/big'))).toBe(true);
    const found = new Map<
      string,
      { mode: string; uid: number; gid: number; size: number; changed: string; target?: string }
    >();
    for await (const { path, ...rest } of listFiles(drive, '/training data', { recursive: true }))
      found.set(path, rest);
    expect([...found.keys()].sort()).toEqual([
      'a "b"',
      'a "b"/ü',
      'a "b"/ü/one',
      'big',
      'empty',
      'link',
      'long link',
      'sparse',
    ]);
    expect(found.get('big')).toEqual({
      mode: '-rw-r-----',
      uid: 70_000,
      gid: 5,
      size: big.length,
      changed: '2020-09-13T12:26:40.000Z',
    });
    expect(found.get('link')?.target).toBe('/etc/passwd');
    expect(found.get('long link')?.target).toBe('x'.repeat(100));
    const { usedBytes } = await driveInfo(drive);
    const empty = await driveInfo(await newDrive('empty'));
    expect(usedBytes - empty.usedBytes).toBeLessThan(4 * 2 ** 20);
  });

  it('takes what is there with the same size and time as copied, and replaces what is not', async () => {
    const drive = await newDrive('again');
    await copyToDrive([join(source, 'big'), join(source, 'empty')], drive, '/', options);
    expect(await copyToDrive([join(source, 'big')], drive, '/', options)).toEqual({
      files: 0,
      bytes: 0,
      alike: 1,
    });
    const other = join(top.path, 'big');
    await writeFile(other, 'smaller\n');
    expect(await copyToDrive([other], drive, '/', options)).toMatchObject({ files: 1, alike: 0 });
    expect((await byDebugfs(drive, '/big')).toString()).toBe('smaller\n');
    await expectSound(drive);
  });

  it('gives one file the name that is asked for', async () => {
    const drive = await newDrive('named');
    await copyToDrive([join(source, 'empty')], drive, '/other name', options);
    expect((await byDebugfs(drive, '/other name')).length).toBe(0);
    const one = await copyToDrive([join(source, 'a "b"/ü/one')], drive, '/one', options);
    expect(one).toEqual({ files: 1, bytes: 4, alike: 0 });
    await expect(copyToDrive([join(source, 'empty')], drive, '/missing/name', options)).rejects.toThrow(
      'there is no folder',
    );
  });

  it('refuses, before anything is written, what does not fit', async () => {
    const drive = await newDrive('small', 8);
    const digest = createHash('sha256')
      .update(await readFile(drive))
      .digest('hex');
    const large = join(top.path, 'large');
    await writeFile(large, randomBytes(9 * 2 ** 20));
    await expect(copyToDrive([large], drive, '/', options)).rejects.toThrow(
      /do not fit the \d+ that are free/,
    );
    expect(
      createHash('sha256')
        .update(await readFile(drive))
        .digest('hex'),
    ).toBe(digest);
  });

  it('says in words that a source is not there, or that the drive is encrypted', async () => {
    const drive = await newDrive('words');
    await expect(copyToDrive([join(source, 'absent')], drive, '/', options)).rejects.toThrow(
      /absent: there is no such file or folder$/,
    );
    const sealed = await newDrive('sealed');
    await writeFile(`${sealed}.luks`, 'LUKS\xba\xbe', 'latin1');
    await execa('qemu-io', ['-f', 'qcow2', '-c', `write -s ${sealed}.luks 0 512`, sealed]);
    const works = [
      () => driveInfo(sealed),
      () => checkDrive(sealed, { repair: false }),
      () => copyToDrive([source], sealed, '/', options),
    ];
    for (const work of works) await expect(work()).rejects.toThrow('it is an encrypted drive');
  });

  it('never follows a link of the drive', async () => {
    const drive = await newDrive('links');
    const links = join(top.path, 'links');
    await mkdir(links);
    await symlink(top.path, join(links, 'out'));
    await symlink('/lost+found', join(links, 'inside'));
    await copyToDrive([links], drive, '/', options);
    for (const name of ['out', 'inside'])
      await expect(copyToDrive([join(source, 'big')], drive, `/links/${name}/x`, options)).rejects.toThrow(
        'is a link, which is not followed',
      );
    await expectSound(drive);
  });

  it('refuses a drive that another program has open, and reads it', async () => {
    const drive = await newDrive('busy');
    await using _ = await serveDrive(drive, { writable: true });
    await expect(copyToDrive([join(source, 'big')], drive, '/', options)).rejects.toThrow(
      'another program has it open',
    );
    expect((await driveInfo(drive)).state).toBe('clean');
  });
});

describe('copying from a drive', () => {
  it('gives back what debugfs put there, with its holes', async () => {
    const drive = await newDrive('foreign');
    const raw = `${drive}.raw`;
    await execa('qemu-img', ['convert', '-O', 'raw', drive, raw]);
    const commands = [
      'mkdir data',
      'cd data',
      `write "${join(source, 'sparse')}" sparse`,
      `write "${join(source, 'big')}" big`,
    ];
    await byScript(raw, commands);
    await execa('qemu-img', ['convert', '-O', 'qcow2', raw, drive]);
    const to = join(top.path, 'got');
    await copyFromDrive(drive, ['/data'], to, options);
    expect(big.equals(await readFile(join(to, 'big')))).toBe(true);
    const sparse = await readFile(join(source, 'sparse'));
    expect(sparse.equals(await readFile(join(to, 'sparse')))).toBe(true);
    expect((await stat(join(to, 'sparse'))).blocks * 512).toBeLessThan(2 ** 20);
    expect((await readdir(to)).sort()).toEqual(['big', 'sparse']);
    const pieces: Buffer[] = [];
    for await (const piece of catFile(drive, '/data/big')) pieces.push(piece);
    expect(big.equals(Buffer.concat(pieces))).toBe(true);
  });

  it('makes neither links, devices nor set-id programs here, and no name that steers a terminal', async () => {
    const drive = await newDrive('hostile');
    const raw = `${drive}.raw`;
    await execa('qemu-img', ['convert', '-O', 'raw', drive, raw]);
    const one = join(source, 'a "b"/ü/one').replaceAll('"', '""');
    const commands = [
      'mkdir data',
      'cd data',
      'symlink jump /etc',
      'mknod null c 1 3',
      'mknod pipe p',
      `write "${one}" setuid`,
      'sif setuid mode 0104755',
      `write "${one}" "esc\x1b[2Jape"`,
      'mkdir "bell\x07"',
      'cd "bell\x07"',
      `write "${one}" inner`,
    ];
    await byScript(raw, commands);
    await execa('qemu-img', ['convert', '-O', 'qcow2', raw, drive]);
    const to = join(top.path, 'from-hostile');
    warnings.length = 0;
    await copyFromDrive(drive, ['/data'], to, options);
    expect(await readdir(to)).toEqual(['setuid']);
    expect((await lstat(join(to, 'setuid'))).mode & 0o7777).toBe(0o755);
    expect(warnings).toHaveLength(5);
    for (const warning of warnings) expect(warning).not.toMatch(/\p{Cc}/u);
    for await (const { path } of listFiles(drive, '/', { recursive: true }))
      expect(path).not.toMatch(/\p{Cc}/u);
  });
});

describe('removing and checking', () => {
  it('gives everything back, and the root stays', async () => {
    const drive = await newDrive('removed');
    const before = await driveInfo(drive);
    await copyToDrive([source], drive, '/', options);
    await expect(removeFromDrive(drive, ['/training data'], { recursive: false })).rejects.toThrow(
      'it is a folder',
    );
    expect(await removeFromDrive(drive, ['/training data'], { recursive: true })).toBe(9);
    await expectSound(drive);
    const after = await driveInfo(drive);
    expect([after.usedBytes, after.inodes]).toEqual([before.usedBytes, before.inodes]);
    await expect(removeFromDrive(drive, ['/'], { recursive: true })).rejects.toThrow('root of the drive');
  });

  it('a check finds what e2fsck finds, and repairs what is safe', async () => {
    const drive = await newDrive('checked');
    await copyToDrive([source], drive, '/', options);
    expect(await checkDrive(drive, { repair: false })).toMatchObject({ sound: true, replayed: false });
    const raw = `${drive}.raw`;
    await execa('qemu-img', ['convert', '-O', 'raw', drive, raw]);
    await execa('debugfs', ['-w', '-R', 'sif "/training data/big" links_count 3', raw], { env });
    await execa('qemu-img', ['convert', '-O', 'qcow2', raw, drive]);
    expect(await checkDrive(drive, { repair: false })).toMatchObject({ sound: false });
    expect(await checkDrive(drive, { repair: true })).toMatchObject({ sound: true, repaired: true });
    await expectSound(drive);
  });

  it('a share is written as the VM reads it, again and again', async () => {
    const drive = await newDrive('share');
    for (const share of ['nas:/data', 'nas:/atad']) {
      await setShare(drive, share);
      expect((await byDebugfs(drive, '/ext_mount.conf')).toString()).toBe(`${share}\n`);
    }
    const names: string[] = [];
    for await (const { path, mode, uid } of listFiles(drive, '/', { recursive: false }))
      names.push(`${mode} ${uid} ${path}`);
    expect(names).toContain('drwxr-xr-x 0 mnt');
    await expectSound(drive);
  });
});

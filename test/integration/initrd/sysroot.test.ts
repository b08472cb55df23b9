import { execFileSync } from 'node:child_process';
import { chmod, mkdir, mkdtemp, readdir, readFile, readlink, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { loaderNeeds } from '../../../src/initrd/elf.ts';
import { ProgramInstaller } from '../../../src/initrd/programs.ts';
import { findInSysroot } from '../../../src/initrd/sysroot.ts';

let folder: string;
let sysroot: string;
let tree: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'sysroot-test-'));
  sysroot = join(folder, 'sysroot');
  tree = join(folder, 'tree');
  await mkdir(sysroot);
  await mkdir(tree);
});
afterEach(() => rm(folder, { recursive: true }));

async function put(path: string, content: string | Buffer): Promise<void> {
  await mkdir(dirname(join(sysroot, path)), { recursive: true });
  await writeFile(join(sysroot, path), content);
  await chmod(join(sysroot, path), 0o755);
}
const lead = async (path: string, target: string) => {
  await mkdir(dirname(join(sysroot, path)), { recursive: true });
  await symlink(target, join(sysroot, path));
};

describe('a file of the base', () => {
  it('follows absolute links and .. inside of the base, never to a file of this machine', async () => {
    await lead('etc/absolute', '/etc/passwd');
    await lead('etc/climbing', '../../../../../../../../etc/passwd');
    await lead('machine', '/');
    for (const path of ['/etc/absolute', '/etc/climbing', '/machine/etc/passwd', '/../../../../etc/passwd'])
      expect(await findInSysroot(sysroot, path), path).toBeUndefined();
    await put('etc/passwd', 'of the base');
    for (const path of ['/etc/absolute', '/etc/climbing', '/machine/etc/passwd', '/../../../../etc/passwd']) {
      const found = await findInSysroot(sysroot, path);
      expect(found?.path, path).toBe('etc/passwd');
      expect((await found!.read()).toString(), path).toBe('of the base');
    }
  });

  it('is none where links lead round, or it is a FIFO, which would never end', async () => {
    await lead('round', '/round');
    execFileSync('mkfifo', [join(sysroot, 'fifo')]);
    expect(await findInSysroot(sysroot, '/round')).toBeUndefined();
    expect(await findInSysroot(sysroot, '/fifo')).toBeUndefined();
  });
});

describe('a program', () => {
  /** A real program of this machine: dynamically linked, with its loader's path in it. */
  const program = () => readFile('/bin/ls');

  it('is never run, and what it needs is taken from the base alone', async () => {
    const mark = join(folder, 'ran');
    await put('usr/bin/ls', await program());
    // A base whose loader does as it likes.
    await put('lib64/ld-linux-x86-64.so.2', `#!/bin/sh\ntouch ${mark}\n`);
    await put('bin/sh', 'the shell');
    const installer = new ProgramInstaller(sysroot, tree);
    await expect(installer.install('/usr/bin/ls')).rejects.toMatchObject({
      name: 'UserError',
      message: expect.stringMatching(/\/usr\/bin\/ls needs lib\S+\.so\.\d+, which the base does not have/),
    });
    await expect(readFile(mark)).rejects.toThrow('ENOENT');
  });

  it('brings the links on the way, made relative so that they stay inside of the initrd', async () => {
    await put('usr/lib/real/tool-2.0', 'text');
    await lead('lib', 'usr/lib');
    await lead('usr/bin/tool', '/lib/real/tool-2.0');
    await new ProgramInstaller(sysroot, tree).install('/usr/bin/tool');
    expect(await readlink(join(tree, 'usr/bin/tool'))).toBe('../lib/real/tool-2.0');
    expect(await readlink(join(tree, 'lib'))).toBe('usr/lib');
    expect(await readFile(join(tree, 'usr/lib/real/tool-2.0'), 'utf8')).toBe('text');
  });

  it('brings no link that leads out of the initrd, where others could then be written', async () => {
    await put('prog', 'text');
    await lead('usr/bin', '/..');
    await lead('usr/lib', '../../..');
    await lead('root', '/');
    const installer = new ProgramInstaller(sysroot, tree);
    for (const name of ['/usr/bin/prog', '/usr/lib/prog', '/root/prog']) await installer.install(name);
    for (const [name, target] of [
      ['usr/bin', '..'],
      ['usr/lib', '..'],
      ['root', '.'],
    ] as const)
      expect(await readlink(join(tree, name)), name).toBe(target);
    await writeFile(join(folder, 'extra'), 'of this machine');
    await installer.installExtra(join(folder, 'extra'), '/usr/bin/extra');
    expect(await readFile(join(tree, 'extra'), 'utf8')).toBe('of this machine');
    expect((await readdir(folder)).sort()).toEqual(['extra', 'sysroot', 'tree']);
  });

  it('that has more headers or libraries than any is damaged', async () => {
    /** An ELF file with this many program headers, the first its dynamic section, the second all of it; and libraries. */
    const elf = (headers: number, libraries: number, headerLength = 56) => {
      const dynamic = 64 + headers * 56;
      const bytes = Buffer.alloc(dynamic + (libraries + 2) * 16);
      Buffer.from([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1]).copy(bytes);
      bytes.writeUInt16LE(62, 18);
      bytes.writeBigUInt64LE(64n, 32);
      bytes.writeUInt16LE(headerLength, 54);
      bytes.writeUInt16LE(headers, 56);
      const header = (at: number, type: number, offset: number, size: number) => {
        bytes.writeUInt32LE(type, at);
        bytes.writeBigUInt64LE(BigInt(offset), at + 8);
        bytes.writeBigUInt64LE(BigInt(size), at + 32);
      };
      header(64, 2, dynamic, bytes.length - dynamic);
      header(64 + 56, 1, 0, bytes.length);
      const entries = [...Array<bigint>(libraries).fill(1n), 5n];
      for (const [index, tag] of entries.entries()) bytes.writeBigUInt64LE(tag, dynamic + index * 16);
      return bytes;
    };
    // The name of each library is the file's own magic.
    const named = loaderNeeds(elf(128, 512), 'program')!.libraries;
    expect(named).toHaveLength(512);
    expect(named[0]).toMatch(/^\x7fELF/);
    for (const [headers, libraries, length] of [
      [129, 1, 56],
      [2, 513, 56],
      [2, 1, 0],
      [2, 1, 64],
    ] as const)
      expect(() => loaderNeeds(elf(headers, libraries, length), 'program')).toThrow('is a damaged program');
  });

  it('that is damaged or for another processor is named', async () => {
    const bytes = await program();
    const foreign = Buffer.from(bytes);
    foreign.writeUInt16LE(183, 18);
    await put('foreign', foreign);
    const cut = Buffer.from(bytes.subarray(0, 200));
    await put('cut', cut);
    const wild = Buffer.from(bytes);
    wild.writeBigUInt64LE(2n ** 63n, 32);
    await put('wild', wild);
    const installer = new ProgramInstaller(sysroot, tree);
    await expect(installer.install('/foreign')).rejects.toThrow('foreign of the base is no x86-64 program');
    await expect(installer.install('/cut')).rejects.toThrow('cut of the base is a damaged program');
    await expect(installer.install('/wild')).rejects.toThrow('wild of the base is a damaged program');
  });
});

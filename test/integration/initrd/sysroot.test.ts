import { execFileSync } from 'node:child_process';
import { chmod, mkdir, mkdtemp, readFile, readlink, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
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

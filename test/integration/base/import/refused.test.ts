import { execFileSync } from 'node:child_process';
import { closeSync, openSync, writeSync } from 'node:fs';
import { cp, link, mkdir, open, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { openByQemu } from '../../../../src/base/import/disk/open.ts';
import { UserError } from '../../../../src/host/errors.ts';
import { openSourceFile } from '../../../../src/host/source-file.ts';
import { diskOf, ext4Of } from './disks.ts';
import { asRoot, draftsIn, importInto, makeSystem, release, workFolder } from './system.ts';

const folder = workFolder();
const at = (name: string) => join(folder.path, name);
let tree: string;
let root: string;

beforeAll(async () => {
  tree = await makeSystem(at('tree'));
  root = ext4Of(tree, at('root'), 120);
});

const refusal = (file: string) =>
  importInto(folder.path, { file }).then(
    () => undefined,
    (error: unknown) => error,
  );

describe('what cannot be imported is named, with what to do', () => {
  it.each([
    [
      'is encrypted (LUKS)',
      'without disk encryption',
      'truncate -s 40M "$1"; echo x | cryptsetup luksFormat -q --disable-locks --type luks2 --pbkdf pbkdf2 --pbkdf-force-iterations 1000 "$1" -',
    ],
    ['holds XFS', 'with an ext4 root', 'truncate -s 320M "$1"; mkfs.xfs -q "$1"'],
    ['holds Btrfs', 'with an ext4 root', 'truncate -s 120M "$1"; mkfs.btrfs -q "$1"'],
  ])('a root that %s', async (words, hint, script) => {
    const content = at('content');
    await rm(content, { force: true });
    asRoot(script, content);
    const file = diskOf(at('other.raw'), 'gpt', [{ file: content, line: 'type=L' }]);
    expect(await refusal(file)).toMatchObject({
      name: 'UserError',
      message: `cannot import ${file}: partition 1 ${words}, and no other volume has an operating system`,
      hint: expect.stringContaining(hint),
    });
  });

  it('a disk with two systems, and one with none', async () => {
    const two = diskOf(at('two.raw'), 'gpt', [
      { file: root, line: 'type=L' },
      { file: root, line: 'type=L' },
    ]);
    expect(await refusal(two)).toMatchObject({
      message: expect.stringContaining('partition 1 and partition 2 both hold an operating system'),
    });
    await mkdir(at('empty'));
    const none = ext4Of(at('empty'), at('none'), 8);
    expect(await refusal(none)).toMatchObject({
      message: expect.stringContaining('no volume on it holds an operating system'),
    });
    await writeFile(at('noise'), Buffer.alloc(1 << 20, 'noise'));
    expect(await refusal(at('noise'))).toMatchObject({
      message: expect.stringContaining('no volume on it holds'),
    });
  });

  it('a qcow2 with a backing file, with external data, encrypted: before any program opens it', async () => {
    const backed = at('backed.qcow2');
    execFileSync('qemu-img', ['create', '-q', '-f', 'qcow2', '-F', 'raw', '-b', root, backed]);
    expect(await refusal(backed)).toMatchObject({
      message: `cannot import ${backed}: it refers to a backing file`,
      hint: expect.stringContaining('qemu-img convert'),
    });
    const external = at('external.qcow2');
    execFileSync('qemu-img', [
      'create',
      '-q',
      '-f',
      'qcow2',
      '-o',
      `data_file=${at('data')}`,
      external,
      '8M',
    ]);
    expect(await refusal(external)).toMatchObject({
      message: expect.stringContaining('keeps its data in an external file'),
    });
    const encrypted = at('encrypted.qcow2');
    execFileSync('qemu-img', [
      ...['create', '-q', '-f', 'qcow2', '--object', 'secret,id=k,data=x'],
      ...['-o', 'encrypt.format=aes,encrypt.key-secret=k', encrypted, '8M'],
    ]);
    expect(await refusal(encrypted)).toMatchObject({ message: expect.stringContaining('it is encrypted') });
    const child = at('child.vmdk');
    execFileSync('qemu-img', ['create', '-q', '-f', 'vmdk', at('parent.vmdk'), '8M']);
    execFileSync('qemu-img', ['create', '-q', '-f', 'vmdk', '-F', 'vmdk', '-b', at('parent.vmdk'), child]);
    expect(await refusal(child)).toMatchObject({
      message: expect.stringContaining('it refers to a backing file'),
    });
    const flat = at('flat.vmdk');
    execFileSync('qemu-img', ['create', '-q', '-f', 'vmdk', '-o', 'subformat=monolithicFlat', flat, '8M']);
    expect(await refusal(flat)).toMatchObject({
      message: expect.stringContaining('description of other files'),
    });
  });

  /** A VMDK whose header says that its description is nowhere, while qemu finds a parent at byte 512: the file at `target`. */
  async function vmdkOf(file: string, target: string): Promise<string> {
    const { size } = await stat(target);
    execFileSync('qemu-img', ['create', '-q', '-f', 'vmdk', file, String(size)]);
    const image = await readFile(file);
    const inner = 1 << 20;
    const parent = { driver: 'raw', offset: inner, size: 1024, file: '/proc/self/fd/0' };
    const hint = `json:${JSON.stringify({ file: { ...parent, file: { driver: 'file', filename: parent.file } } }).replaceAll('"', "'")}`;
    const text = image.toString('latin1', 512, 20 * 512).replace(/\0.*$/s, '');
    const named = text.replace('parentCID=ffffffff', `parentCID=12345678\nparentFileNameHint="${hint}"`);
    const whole = Buffer.alloc(inner + 1024);
    image.copy(whole);
    whole.fill(0, 512, 21 * 512).write(named, 512, 'latin1');
    whole.fill(0, 28, 44);
    whole.write(
      `# Disk DescriptorFile\nversion=1\nCID=12345678\nparentCID=ffffffff\ncreateType="monolithicFlat"\n\nRW ${size / 512} FLAT "${target}" 0\n`,
      inner,
      'latin1',
    );
    await writeFile(file, whole);
    return file;
  }

  it('a VMDK that names a file of this machine where its header says nothing lies', async () => {
    const file = await vmdkOf(at('parent-nowhere.vmdk'), root);
    expect(await refusal(file)).toMatchObject({
      message: `cannot import ${file}: it refers to a backing file`,
    });
  });

  it.each([
    'vmdk',
    'qcow2',
  ] as const)('a %s that was not looked at: no backing file is opened', async (format) => {
    const file = at(`unseen.${format}`);
    if (format === 'vmdk') await vmdkOf(file, root);
    else execFileSync('qemu-img', ['create', '-q', '-f', format, '-F', 'raw', '-b', root, file]);
    await using source = await openSourceFile(file, {
      unusable: (why) => new UserError(`cannot open the test's image: ${why}`),
      ...{ missing: '', folder: '', changed: '' },
    });
    await source.digest();
    await using copy = await source.privateCopy(folder.path);
    await using opened = await openByQemu(copy, format);
    expect(opened.disk.size).toBe((await stat(root)).size);
    const start = await opened.disk.read(0, 1 << 20);
    expect(start.equals(Buffer.alloc(1 << 20))).toBe(true);
  });

  it('a system for another processor', async () => {
    const foreign = at('foreign');
    await cp(join(tree, 'usr/bin/busybox'), at('busybox'));
    const program = await readFile(at('busybox'));
    program.writeUInt16LE(183, 18);
    const packed = at('foreign.tar');
    await mkdir(join(foreign, 'usr/bin'), { recursive: true });
    await writeFile(join(foreign, 'usr/bin/busybox'), program);
    execFileSync('tar', ['-C', foreign, '-cf', packed, '.']);
    expect(await refusal(packed)).toMatchObject({
      message: expect.stringContaining('it is a system for arm64, not for x86-64'),
    });
  });

  it('a file that changes while it is imported, and nothing of it stays in the cache', async () => {
    const file = at('changing.raw');
    await cp(root, file);
    const changeIn = (path: string) => {
      const handle = openSync(path, 'r+');
      writeSync(handle, 'changed', 3 << 20);
      closeSync(handle);
    };
    const importing = importInto(folder.path, {
      file,
      progress: (progress) => {
        if (typeof progress === 'object' && progress.done === progress.total) changeIn(file);
      },
    });
    await expect(importing).rejects.toMatchObject({
      message: `cannot import ${file}: it changed while it was read`,
    });
    expect(await draftsIn(folder.path)).toEqual([]);
  });

  it('what is no file, not there, or compressed in a way nobody reads', async () => {
    expect(await refusal(folder.path)).toMatchObject({ message: expect.stringContaining('it is a folder') });
    expect(await refusal(at('nowhere'))).toMatchObject({
      message: expect.stringContaining('there is no such file'),
    });
    await writeFile(at('a.tar.bz2'), Buffer.from('BZh91AY&SY and so on'));
    expect(await refusal(at('a.tar.bz2'))).toMatchObject({
      message: expect.stringContaining('compressed with bzip2'),
    });
    execFileSync('sh', ['-c', 'gzip -1 < "$1" > "$2"', 'sh', root, at('disk.gz')]);
    expect(await refusal(at('disk.gz'))).toMatchObject({
      hint: expect.stringContaining('has to be unpacked first'),
    });
  });
});

describe('a disk that was not unmounted', () => {
  it('is refused, and imported when its journal is to be replayed; the disk itself stays as it is', async () => {
    const unclean = at('unclean.raw');
    await cp(root, unclean);
    // A transaction that is committed in the journal and not yet in its place: as after a loss of power.
    const block = at('block');
    await writeFile(block, '');
    const script = `
      printf 'written before the power failed' > "$2"
      debugfs -w -R "write $2 in-place" "$1" 2>/dev/null
      inode=$(debugfs -R 'stat in-place' "$1" 2>/dev/null | sed -n 's/^Inode: \\([0-9]*\\).*/\\1/p')
      number=$(debugfs -R "blocks <$inode>" "$1" 2>/dev/null | tr -d ' \\n')
      dd if=/dev/zero of="$2" bs=4096 count=1 status=none
      printf 'written as the power failed: now' | dd of="$2" conv=notrunc status=none
      printf 'jo\\njw -b %s %s\\njc\\n' "$number" "$2" | debugfs -w -f - "$1" 2>/dev/null`;
    asRoot(script, unclean, block);
    const before = await readFile(unclean);
    expect(await refusal(unclean)).toMatchObject({
      message: `cannot import ${unclean}: the disk was not unmounted, its journal holds changes`,
      hint: expect.stringContaining('--replay-journal'),
    });
    const { base } = await importInto(folder.path, { file: unclean, replayJournal: true });
    expect(execFileSync('rdsquashfs', ['--cat', 'in-place', base.squashfs], { encoding: 'utf8' })).toBe(
      'written as the power failed: no',
    );
    expect((await readFile(unclean)).equals(before)).toBe(true);
  });
});

describe('kernels', () => {
  it('are chosen by version, not by name or time, and only with their modules; or by release', async () => {
    const several = at('several');
    await cp(tree, several, { recursive: true, verbatimSymlinks: true });
    const older = '6.8.0-9-generic';
    for (const name of ['vmlinuz', 'config'])
      await link(join(several, `boot/${name}-${release}`), join(several, `boot/${name}-${older}`));
    await cp(join(several, 'usr/lib/modules', release), join(several, 'usr/lib/modules', older), {
      recursive: true,
    });
    // Newer, but its modules are gone; and modules whose kernel is gone.
    await writeFile(join(several, 'boot/vmlinuz-6.11.0-1-generic'), 'no modules');
    await mkdir(join(several, 'usr/lib/modules/7.0.0-1-generic'));
    await writeFile(join(several, 'usr/lib/modules/7.0.0-1-generic/modules.dep'), '');
    const file = ext4Of(several, at('several.raw'), 200);
    expect((await importInto(folder.path, { file })).base.kernelRelease).toBe(release);
    const chosen = await importInto(folder.path, { file, kernel: older });
    expect(chosen.base.kernelRelease).toBe(older);
    expect(chosen.fromCache).toBe(false);
    await expect(importInto(folder.path, { file, kernel: '6.11.0-1-generic' })).rejects.toMatchObject({
      message: `cannot import ${file}: it has no kernel 6.11.0-1-generic with its modules`,
      hint: `it has ${release}, ${older}`,
    });
    await using opened = await open(file);
    expect((await opened.stat()).isFile()).toBe(true);
  });

  it('are missed where there is none, or none that can run the CVM', async () => {
    const bare = at('bare');
    await cp(tree, bare, { recursive: true, verbatimSymlinks: true });
    const modules = join(bare, 'usr/lib/modules', release);
    const dep = await readFile(join(modules, 'modules.dep'), 'utf8');
    await writeFile(join(modules, 'modules.dep'), dep.replace(/^.*sev-guest.*\n/m, ''));
    expect(await refusal(ext4Of(bare, at('no-sev.raw'), 120))).toMatchObject({
      message: expect.stringContaining(`its kernel ${release} has no module sev_guest`),
      hint: expect.stringContaining('linux-image-generic'),
    });
    await rename(join(bare, `boot/vmlinuz-${release}`), join(bare, 'boot/other'));
    expect(await refusal(ext4Of(bare, at('no-kernel.raw'), 120))).toMatchObject({
      message: expect.stringContaining(`it has modules of ${release}, but no kernel image in /boot for them`),
    });
  });
});

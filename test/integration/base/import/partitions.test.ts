import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { cp, mkdir, open, readFile, rename, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { diskOf, espOf, ext4Of } from './disks.ts';
import { draftsIn, importInto, leavings, listing, makeSystem, release, workFolder } from './system.ts';

const folder = workFolder();
const bootUuid = '11111111-2222-4333-8444-555555555555';
const rootUuid = '66666666-7777-4888-8999-aaaaaaaaaaaa';
let root: string;
let boot: string;
let esp: string;
let disk: string;
const sha256 = (file: string) => createHash('sha256').update(readFileSync(file)).digest('hex');
const at = (name: string) => join(folder.path, name);

/** GPT, ESP, /boot, root: what Ubuntu's installer makes without LVM. */
beforeAll(async () => {
  const tree = await makeSystem(at('tree'), {
    'etc/fstab': [
      `UUID=${rootUuid} / ext4 defaults 0 1`,
      `UUID=${bootUuid} /boot ext4 defaults 0 1`,
      'UUID=ABCD-1234 /boot/efi vfat umask=0077 0 1',
      '/swap.img none swap sw 0 0',
    ].join('\n'),
  });
  await rename(join(tree, 'boot'), at('boot-tree'));
  await mkdir(join(tree, 'boot'));
  root = ext4Of(tree, at('root'), 120, '-U', rootUuid);
  boot = ext4Of(at('boot-tree'), at('boot'), 40, '-U', bootUuid);
  esp = espOf(folder.path);
  disk = diskOf(at('disk.raw'), 'gpt', [
    { file: esp, line: 'type=U' },
    { file: boot, line: 'type=L' },
    { file: root, line: 'type=L, name=root' },
  ]);
});

describe('a disk with GPT, ESP, /boot and an ext4 root', () => {
  it('becomes a base with the kernel of /boot, whatever the format of the disk', async () => {
    const before = { sum: sha256(disk), info: await stat(disk) };
    const raw = await importInto(folder.path, { file: disk });
    expect(raw).toMatchObject({ fromCache: false, warnings: [] });
    expect(raw.notes).toEqual([
      'the root is on partition 3, /boot on partition 2',
      `its kernel is ${release}`,
    ]);
    expect(raw.base.kernelRelease).toBe(release);
    expect(raw.base.origin).toBe(`import of disk.raw (SHA-256 ${before.sum})`);
    expect(sha256(raw.base.kernel)).toBe(sha256(at(`boot-tree/vmlinuz-${release}`)));
    expect(await readFile(raw.base.packages, 'utf8')).toBe(
      'bash\t5.2.21-2ubuntu4\nsystemd\t255.4-1ubuntu8\n',
    );
    for (const [format, ...options] of [
      ['qcow2'],
      ['vmdk'],
      ['vhdx'],
      ['vdi'],
      ['vpc', '-o', 'force_size=on'],
    ]) {
      const file = at(`disk.${format}`);
      execFileSync('qemu-img', ['convert', '-O', format!, ...options, disk, file]);
      const { base } = await importInto(folder.path, { file });
      expect(base.id, format).toBe(raw.base.id);
    }
    const after = await stat(disk);
    expect([after.mtimeMs, after.size, sha256(disk)]).toEqual([
      before.info.mtimeMs,
      before.info.size,
      before.sum,
    ]);
    expect(await draftsIn(folder.path)).toEqual([]);
  });

  it('leaves behind what belongs to one installation, and of /boot all but the kernel', async () => {
    const { base } = await importInto(folder.path, { file: disk });
    const files = listing(base.squashfs);
    expect([...files.keys()].filter((name) => name.startsWith('boot/')).sort()).toEqual([
      'boot/config',
      'boot/vmlinuz',
    ]);
    const emptied = ['etc/crypttab', 'etc/fstab', 'etc/machine-id'];
    for (const name of emptied) expect(files.get(name), name).toMatch(/^-rw-r--r-- 0\/0 +0 /);
    for (const name of Object.keys(leavings).filter((each) => !emptied.includes(each)))
      expect(files.has(name), name).toBe(false);
    expect(files.has('usr/bin/hello')).toBe(true);
    expect(files.has('lost+found')).toBe(false);
  });

  it('keeps the modules of the list, unchanged, with indexes for them alone', async () => {
    const { base } = await importInto(folder.path, { file: disk });
    const modules = [...listing(base.squashfs).keys()].filter((name) => name.includes('.ko'));
    expect(modules.length).toBeGreaterThan(30);
    expect(modules.filter((name) => name.includes('unwanted'))).toEqual([]);
    const read = (name: string) =>
      execFileSync('rdsquashfs', ['--cat', name, base.squashfs], { maxBuffer: 1 << 26 });
    for (const name of modules)
      expect(read(name).equals(await readFile(join(at('tree'), name))), name).toBe(true);
    const dep = read(`usr/lib/modules/${release}/modules.dep`).toString();
    expect(
      dep
        .trimEnd()
        .split('\n')
        .map((line) => line.split(':')[0])
        .sort(),
    ).toEqual(modules.map((name) => name.replace(`usr/lib/modules/${release}/`, '')).sort());
  });

  it('is told by its backup table where the first one is damaged, and refused where both are', async () => {
    const damaged = at('damaged.raw');
    await cp(disk, damaged);
    const { base } = await importInto(folder.path, { file: disk });
    const spoil = async (offset: number) => {
      await using file = await open(damaged, 'r+');
      await file.write(Buffer.from('spoilt'), 0, 6, offset);
    };
    await spoil(512 + 60);
    const imported = await importInto(folder.path, { file: damaged });
    expect(imported.base.id).toBe(base.id);
    expect(imported.warnings).toEqual([
      'the first partition table has a wrong header checksum: the backup at the end of the disk was used',
    ]);
    await spoil((await stat(damaged)).size - 512 * 20);
    await expect(importInto(folder.path, { file: damaged })).rejects.toMatchObject({
      name: 'UserError',
      message: expect.stringContaining(
        'its partition table (GPT) is damaged: a wrong header checksum at the start of the disk, a wrong table checksum at its end',
      ),
    });
    expect(await draftsIn(folder.path)).toEqual([]);
  });

  it('is refused where its ext4 is damaged, and nothing is left in the cache', async () => {
    const damaged = at('damaged-ext4.raw');
    await cp(root, damaged);
    await using file = await open(damaged, 'r+');
    // Inodes of the first group begin in the first blocks; the root's own is the second.
    const table = Number(
      /Inode table at (\d+)/.exec(
        execFileSync('/usr/sbin/dumpe2fs', [root], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }),
      )![1],
    );
    const blockSize = 1024 << (await readFile(root)).readUInt32LE(1024 + 0x18);
    await file.write(Buffer.from('spoilt'), 0, 6, table * blockSize + 256 + 8);
    await expect(importInto(folder.path, { file: damaged })).rejects.toMatchObject({
      name: 'UserError',
      message: `cannot import ${damaged}: inode 2 has a wrong checksum`,
    });
  });

  it('is refused where it ends early', async () => {
    const short = at('short.raw');
    await cp(disk, short);
    await using file = await open(short, 'r+');
    await file.truncate(60 * 1024 * 1024);
    await expect(importInto(folder.path, { file: short })).rejects.toMatchObject({ name: 'UserError' });
  });
});

describe('a disk with an MBR', () => {
  it('is imported from a logical partition, its /boot by label', async () => {
    const tree = await makeSystem(at('mbr-tree'), {
      'etc/fstab': '/dev/vda6 / ext4 d 0 1\nLABEL=cvm-boot /boot ext4 d 0 1\n',
    });
    await rename(join(tree, 'boot'), at('mbr-boot-tree'));
    const files = {
      root: ext4Of(tree, at('mbr-root'), 120),
      boot: ext4Of(at('mbr-boot-tree'), at('mbr-boot'), 40, '-L', 'cvm-boot'),
    };
    const mbr = diskOf(at('mbr.raw'), 'dos', [
      { file: esp, line: 'type=c' },
      { file: 'extended', line: '' },
      { file: files.boot, line: 'type=83' },
      { file: files.root, line: 'type=83' },
    ]);
    const { base, notes } = await importInto(folder.path, { file: mbr });
    expect(notes).toContain('the root is on partition 6, /boot on partition 5');
    expect(base.kernelRelease).toBe(release);

    // The second record of the chain, which the first one leads to.
    const chain = (await readFile(mbr)).readUInt32LE(446 + 16 + 8);
    await using file = await open(mbr, 'r+');
    await file.write(Buffer.alloc(2), 0, 2, chain * 512 + 510);
    await expect(importInto(folder.path, { file: mbr })).rejects.toMatchObject({
      message: `cannot import ${mbr}: its chain of logical partitions is damaged`,
    });
  });
});

import { execFileSync } from 'node:child_process';
import { cp, mkdir, open, rename, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { diskOf, espOf, ext4Of } from './disks.ts';
import { linearSegment, lvmMissing, makeGroup } from './lvm.ts';
import { importInto, makeSystem, release, workFolder } from './system.ts';

const missing = lvmMissing();
if (missing !== undefined) console.log(`skipped: disks with LVM (${missing})`);

const folder = workFolder();
const at = (name: string) => join(folder.path, name);
const extent = 4 * 1024 * 1024;
let root: string;
let esp: string;
let boot: string;

const copy = (from: string, to: string, skip: number, seek: number, count: number) =>
  execFileSync('dd', [
    ...[`if=${from}`, `of=${to}`, `bs=${extent}`, `skip=${skip}`, `seek=${seek}`, `count=${count}`],
    ...['conv=notrunc,sparse', 'status=none'],
  ]);

/** A disk as Ubuntu's server installer makes it: ESP, /boot, and a physical volume. */
function diskWith(name: string, physical: string): string {
  return diskOf(at(name), 'gpt', [
    { file: esp, line: 'type=U' },
    { file: boot, line: 'type=L' },
    { file: physical, line: 'type=E6D6D379-F507-44C2-A23C-238F2A3DF928' },
  ]);
}

describe.skipIf(missing !== undefined)('a disk with LVM, written by its own tools', () => {
  beforeAll(async () => {
    const tree = await makeSystem(at('tree'), {
      'etc/fstab':
        '/dev/mapper/ubuntu--vg-ubuntu--lv / ext4 d 0 1\n/dev/disk/by-partuuid/x /srv ext4 d 0 1\nLABEL=boot /boot ext4 d 0 1\n',
    });
    await rename(join(tree, 'boot'), at('boot-tree'));
    await mkdir(join(tree, 'boot'));
    boot = ext4Of(at('boot-tree'), at('boot'), 40, '-L', 'boot');
    root = ext4Of(tree, at('root'), 120);
    esp = espOf(folder.path);
  });

  it('is imported from a linear volume of several segments in any order', async () => {
    const physical = at('pv');
    // The second half of the volume lies before the first; swap lies between.
    makeGroup(physical, 200, 'ubuntu-vg', [
      { name: 'swap', segments: [linearSegment(0, 3, 15)] },
      { name: 'ubuntu-lv', segments: [linearSegment(0, 15, 20), linearSegment(15, 15, 0)] },
    ]);
    // pe_start is 1 MiB, so that extents are not aligned to themselves: through a file of extents alone.
    const data = at('extents');
    execFileSync('truncate', ['-s', String(40 * extent), data]);
    copy(root, data, 0, 20, 15);
    copy(root, data, 15, 0, 15);
    execFileSync('dd', [
      `if=${data}`,
      `of=${physical}`,
      'bs=1M',
      'seek=1',
      'conv=notrunc,sparse',
      'status=none',
    ]);
    await using grown = await open(physical, 'r+');
    await grown.truncate(200 * 1024 * 1024);

    const disk = diskWith('lvm.raw', physical);
    const plain = await importInto(folder.path, {
      file: diskOf(at('plain.raw'), 'gpt', [
        { file: boot, line: 'type=L' },
        { file: root, line: 'type=L' },
      ]),
    });
    const { base, notes, warnings } = await importInto(folder.path, { file: disk });
    expect(notes).toEqual([
      'the root is on logical volume ubuntu-vg/ubuntu-lv, /boot on partition 2',
      `its kernel is ${release}`,
    ]);
    expect(warnings).toEqual(['/srv is left out: /dev/disk/by-partuuid/x cannot be read from this image']);
    expect(base.id).toBe(plain.base.id);
  });

  it.each([
    ['the label', 512 + 24, 'the label of its LVM physical volume is damaged'],
    [
      'the header of the metadata',
      4096 + 48,
      'the metadata of its LVM physical volume has a wrong header checksum',
    ],
    ['the text', 4096 + 512 + 30, undefined],
  ])('is refused where %s is damaged', async (_, offset, message) => {
    const physical = at('pv-damaged');
    makeGroup(physical, 40, 'vg', [{ name: 'root', segments: [linearSegment(0, 5, 0)] }]);
    {
      await using file = await open(physical, 'r+');
      const spoilt = Buffer.from('spoilt');
      await file.write(spoilt, 0, spoilt.length, offset);
      // All copies of the text, wherever the newest is.
      if (message === undefined) {
        const zeros = Buffer.alloc(512, 'x');
        for (let place = 4096 + 512; place < 1024 * 1024; place += 1024)
          await file.write(zeros, 0, 200, place);
      }
    }
    const disk = diskWith('damaged.raw', physical);
    await expect(importInto(folder.path, { file: disk })).rejects.toMatchObject({
      name: 'UserError',
      message: `cannot import ${disk}: ${message ?? 'the metadata of its LVM physical volume has a wrong text checksum'}`,
    });
  });

  it('is refused where its root is striped, or in part on another disk', async () => {
    const striped = at('pv-striped');
    const segment =
      'start_extent = 0\nextent_count = 4\ntype = "striped"\nstripe_count = 2\nstripe_size = 128\nstripes = [ "pv0", 0, "pv0", 4 ]';
    makeGroup(striped, 60, 'vg', [{ name: 'root', segments: [segment] }]);
    const disk = diskWith('striped.raw', striped);
    await expect(importInto(folder.path, { file: disk })).rejects.toMatchObject({
      message: `cannot import ${disk}: logical volume vg/root is of LVM type striped`,
      hint: expect.stringContaining('only linear logical volumes'),
    });
  });

  it('is refused where the volume goes beyond its disk', async () => {
    const physical = at('pv-short');
    makeGroup(physical, 60, 'vg', [{ name: 'root', segments: [linearSegment(0, 13, 0)] }]);
    const short = at('short');
    await cp(physical, short);
    {
      await using file = await open(short, 'r+');
      await file.truncate((await stat(short)).size / 2);
    }
    await expect(importInto(folder.path, { file: short })).rejects.toThrow('it points outside of itself');
  });
});

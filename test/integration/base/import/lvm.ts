import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';

const lvm = (...command: string[]) =>
  execFileSync(command[0]!, command.slice(1), {
    encoding: 'utf8',
    env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', LC_ALL: 'C', LVM_SUPPRESS_FD_WARNINGS: '1' },
    stdio: ['ignore', 'pipe', 'pipe'],
  });

/** Why LVM's own tools cannot be run here, or undefined: they take block devices only, so that loop devices are needed. */
export function lvmMissing(): string | undefined {
  try {
    lvm('losetup', '--find');
    return process.getuid?.() === 0 ? undefined : 'LVM tools need root';
  } catch {
    return 'there are no loop devices';
  }
}

/** A logical volume: its segments as LVM's text has them, after the first line. */
export interface LogicalSettings {
  name: string;
  segments: readonly string[];
}

/** A linear segment on the only physical volume; places and lengths in extents of 4 MiB. */
export function linearSegment(start: number, count: number, place: number): string {
  return `start_extent = ${start}\nextent_count = ${count}\ntype = "striped"\nstripe_count = 1\nstripes = [ "pv0", ${place} ]`;
}

const id = (character: string) => [6, 4, 4, 4, 4, 4, 6].map((length) => character.repeat(length)).join('-');

/**
 * Makes a file a physical volume of a new group, with these logical volumes. pvcreate, vgcreate and vgcfgrestore write every
 * byte of it; lvcreate alone would need the kernel's device mapper.
 */
export function makeGroup(
  file: string,
  megabytes: number,
  group: string,
  volumes: readonly LogicalSettings[],
): void {
  execFileSync('rm', ['-f', file]);
  execFileSync('truncate', ['-s', `${megabytes}M`, file]);
  const device = lvm('losetup', '--find', '--show', file).trim();
  try {
    lvm('pvcreate', '-ff', '-y', '--devices', device, device);
    lvm('vgcreate', '--devices', device, group, device);
    const backup = `${file}.vg`;
    lvm('vgcfgbackup', '--devices', device, '-f', backup, group);
    const logical = volumes.map(({ name, segments }, index) => {
      const parts = segments.map((text, at) => `segment${at + 1} {\n${text}\n}`).join('\n');
      const status = 'status = ["READ", "WRITE", "VISIBLE"]\nflags = []';
      return `${name} {\nid = "${id(String.fromCharCode(97 + index))}"\n${status}\nsegment_count = ${segments.length}\n${parts}\n}`;
    });
    const text = readFileSync(backup, 'utf8');
    const end = text.indexOf('\n}\n', text.indexOf('physical_volumes'));
    const own = `\nlogical_volumes {\n${logical.join('\n')}\n}`;
    writeFileSync(backup, `${text.slice(0, end)}${own}${text.slice(end)}`);
    // Restored several times: the text goes round in its ring, as it does in years of use.
    for (let time = 0; time < 3; time++) lvm('vgcfgrestore', '--devices', device, '-f', backup, group);
  } finally {
    lvm('losetup', '--detach', device);
  }
}

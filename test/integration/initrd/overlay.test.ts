import { spawnSync } from 'node:child_process';
import { describe, expect, it } from 'vitest';
import { templatePath } from '../../../src/host/template.ts';

/** Asks the guest's own check whether this list of mounts shows what was asked for. */
function holds(mountinfo: string, folder: string, lower: string, upper: string): boolean {
  const script = `. "${templatePath('initrd/lib/sealed.sh')}"; overlay_holds "$@"`;
  const { status, stderr } = spawnSync('busybox', ['sh', '-c', script, 'sh', folder, lower, upper], {
    input: mountinfo,
    encoding: 'utf8',
  });
  expect(stderr).toBe('');
  expect([0, 1]).toContain(status);
  return status === 0;
}

const root = '/run/cvm/workload/rootfs';
const upper = '/run/cvm/ram/workload/upper';
const names = (count: number) => Array.from({ length: count }, (_, index) => count - 1 - index).join(':');
const line = (lower: string, { at = root, up = upper } = {}) =>
  `60 32 0:30 / ${at} rw,nodev shared:5 - overlay workload rw,lowerdir=${lower},upperdir=${up},workdir=/run/cvm/ram/workload/work\n`;

describe('overlay_holds', () => {
  it('finds all layers and the writable one, as the kernel lists them', () => {
    for (const count of [1, 2, 152, 500])
      expect(holds(line(names(count)), root, names(count), upper), String(count)).toBe(true);
  });

  it('misses what the kernel cut off without a word: layers, the writable one, or both', () => {
    const all = names(500);
    expect(holds(line(all.slice(0, 1000)), root, all, upper)).toBe(false);
    expect(holds(line(names(499)), root, all, upper)).toBe(false);
    expect(holds(line(all).replace(/,upperdir=[^,]*/, ''), root, all, upper)).toBe(false);
    expect(holds(line(`${all}:/run/cvm`), root, all, upper)).toBe(false);
    expect(holds(line(all, { up: '/run/cvm/ram/workload/up' }), root, all, upper)).toBe(false);
  });

  it('looks at what is mounted at that place, the last of it', () => {
    expect(holds(line('1:0', { at: '/sysroot' }), root, '1:0', upper)).toBe(false);
    expect(holds(line('1:0') + line('0'), root, '1:0', upper)).toBe(false);
    expect(holds(line('0') + line('1:0'), root, '1:0', upper)).toBe(true);
    expect(holds('', root, '0', upper)).toBe(false);
  });
});

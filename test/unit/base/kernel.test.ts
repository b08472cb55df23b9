import { describe, expect, it } from 'vitest';
import { missingModules, newestRelease, requiredModules } from '../../../src/base/check/kernel.ts';

const folder = 'usr/lib/modules/6.1.0-18-amd64/kernel';
const names = Object.keys(requiredModules);
const files = (...modules: string[]) => modules.map((name) => `${folder}/drivers/${name}.ko`);

describe('missingModules', () => {
  it('misses nothing where every module is a file', () => {
    expect(missingModules(files(...names), '')).toEqual([]);
  });

  it('names exactly those that are absent', () => {
    const present = names.filter((name) => name !== 'sev_guest' && name !== 'dm_verity');
    expect(missingModules(files(...present), '')).toEqual(['sev_guest', 'dm_verity']);
  });

  it('treats dashes and underscores alike, as modprobe does', () => {
    const dashed = names.map((name) => name.replaceAll('_', '-'));
    expect(missingModules(files(...dashed), '')).toEqual([]);
  });

  it.each(['.ko', '.ko.xz', '.ko.zst', '.ko.gz'])('knows modules that end in %s', (ending) => {
    expect(
      missingModules(
        names.map((name) => `${folder}/${name}${ending}`),
        '',
      ),
    ).toEqual([]);
  });

  it('counts what is built into the kernel', () => {
    const builtin = names.map((name) => `kernel/fs/${name.replaceAll('_', '-')}.ko\n`).join('');
    expect(missingModules([], builtin)).toEqual([]);
  });

  it('is not satisfied by a folder, another file or a longer name', () => {
    const others = [`${folder}/squashfs`, `${folder}/squashfs.txt`, `${folder}/my_squashfs.ko`, 'squashfs'];
    const rest = files(...names.filter((name) => name !== 'squashfs'));
    expect(missingModules([...others, ...rest], '')).toEqual(['squashfs']);
  });
});

describe('newestRelease', () => {
  const paths = (...releases: string[]) => releases.map((release) => `usr/lib/modules/${release}/kernel`);

  it('compares numbers as numbers', () => {
    expect(newestRelease(paths('6.1.0-9-amd64', '6.1.0-56-amd64', '6.1.0-10-amd64'))).toBe('6.1.0-56-amd64');
    expect(newestRelease(paths('6.8.0-60-generic', '6.11.0-9-generic'))).toBe('6.11.0-9-generic');
  });

  it('counts no folder without modules of a kernel', () => {
    expect(
      newestRelease(['usr/lib/modules/6.12.0', 'usr/lib/modules/6.12.0/updates', ...paths('6.1.0')]),
    ).toBe('6.1.0');
    expect(newestRelease(['usr/lib/modules'])).toBeUndefined();
  });
});

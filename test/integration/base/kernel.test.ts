import { execFileSync } from 'node:child_process';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { checkKernel, requiredModules, takeKernel } from '../../../src/base/check/kernel.ts';

const release = '6.1.0-18-amd64';
const modules = `usr/lib/modules/${release}`;

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'kernel-test-'));
});
afterEach(() => rm(folder, { recursive: true }));

/** A base.squashfs of these files. */
async function base(files: Record<string, string>): Promise<void> {
  for (const [name, text] of Object.entries(files)) {
    const path = join(folder, 'tree', name);
    await mkdir(dirname(path), { recursive: true });
    await writeFile(path, text);
  }
  execFileSync('gensquashfs', ['-q', '-f', '-D', join(folder, 'tree'), join(folder, 'base.squashfs')]);
}

const complete = (): Record<string, string> => ({
  'boot/vmlinuz': 'kernel image, of which a newline may be the last byte\n',
  'usr/share/cvm-packages.tsv': 'systemd\t252\n',
  [`${modules}/modules.builtin`]: 'kernel/fs/ext4/ext4.ko\n',
  ...Object.fromEntries(
    Object.keys(requiredModules)
      .filter((name) => name !== 'ext4')
      .map((name) => [`${modules}/kernel/drivers/${name.replaceAll('_', '-')}.ko.xz`, '']),
  ),
});

describe('checkKernel', () => {
  it('gives the release, and puts kernel and package list beside the base', async () => {
    await base(complete());
    expect(await checkKernel(folder)).toBe(release);
    expect(await readFile(join(folder, 'vmlinuz'), 'utf8')).toBe(complete()['boot/vmlinuz']);
    expect(await readFile(join(folder, 'packages.tsv'), 'utf8')).toBe('systemd\t252\n');
  });

  it('refuses a kernel without sev-guest, as Debian’s cloud kernel is, and names it', async () => {
    const { [`${modules}/kernel/drivers/sev-guest.ko.xz`]: _, ...files } = complete();
    await base(files);
    await expect(checkKernel(folder)).rejects.toMatchObject({
      name: 'UserError',
      message: `cannot use the base: its kernel ${release} lacks sev_guest, needed for attestation reports`,
      hint: expect.stringContaining('linux-image-amd64'),
    });
    await expect(readFile(join(folder, 'vmlinuz'))).rejects.toThrow('ENOENT');
  });

  it('refuses a base without kernel, or with modules but no kernel image', async () => {
    await base({ 'usr/bin/true': '' });
    await expect(checkKernel(folder)).rejects.toThrow('it holds no kernel');
    const { 'boot/vmlinuz': _, ...files } = complete();
    await base(files);
    await expect(checkKernel(folder)).rejects.toThrow('it holds no kernel');
  });

  it('refuses what is no squashfs', async () => {
    await writeFile(join(folder, 'base.squashfs'), 'x'.repeat(4096));
    await expect(checkKernel(folder)).rejects.toMatchObject({ name: 'UserError' });
  });
});

describe('takeKernel', () => {
  it('takes the kernel of a base that is still to be completed', async () => {
    const { [`${modules}/kernel/drivers/sev-guest.ko.xz`]: _, ...files } = complete();
    await base(files);
    expect(await takeKernel(folder)).toBe(release);
    expect(await readFile(join(folder, 'packages.tsv'), 'utf8')).toBe('systemd\t252\n');
  });

  it('refuses a base without kernel', async () => {
    await base({ 'usr/bin/true': '' });
    await expect(takeKernel(folder)).rejects.toThrow('it holds no kernel');
  });
});

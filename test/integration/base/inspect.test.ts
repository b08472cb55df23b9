import { execFileSync } from 'node:child_process';
import { gzipSync, zstdCompressSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { inspectBase } from '../../../src/base/check/inspect.ts';
import { requireBase } from '../../../src/base/check/require.ts';
import { bzImage } from '../../support/bzimage.ts';
import {
  allApplets,
  busybox,
  dpkgStatus,
  elf,
  type Files,
  modules,
  packages,
  release,
  signed,
  smallBase,
  wholeBase,
} from './small-base.ts';

/** What a whole base with these changes lacks. */
async function missing(changes: Files): Promise<{ what: string; package?: string; need: string }[]> {
  await using base = await smallBase({ ...wholeBase(), ...changes });
  const report = await inspectBase(base.image, { missingOnly: true });
  return report.missing.map(({ why: _, ...rest }) => rest);
}
const notes = async (changes: Files) => {
  await using base = await smallBase({ ...wholeBase(), ...changes });
  return (await inspectBase(base.image)).notes;
};
const kernel = 'linux-image-amd64';

describe('a base', () => {
  it('that has everything lacks nothing, and there is nothing to note', async () => {
    await using base = await smallBase(wholeBase());
    const report = await inspectBase(base.image);
    expect(report.missing).toEqual([]);
    expect(report.notes).toEqual([]);
    expect(report.distribution).toMatchObject({ id: 'debian', family: 'debian' });
    expect(report.kernel).toMatchObject({ release, stopsWithoutRdrand: true, no32Bit: true });
    expect(report.found).toContainEqual({ what: '/usr/lib/systemd/systemd', version: '252.7-1' });
    expect(report.found).toContainEqual({ what: '/usr/bin/awk' });
  });

  it('that lacks a program lacks its package', async () => {
    expect(await missing({ 'usr/bin/crun': undefined })).toEqual([
      { what: '/usr/bin/crun', need: 'boot', package: 'crun' },
    ]);
  });

  it('that has a folder or a dead link in a program’s place lacks it', async () => {
    const dead = { to: '/etc/alternatives/crun' };
    const around = { to: 'crun' };
    for (const crun of [
      { 'usr/bin/crun': undefined, 'usr/bin/crun/file': 'x' },
      { 'usr/bin/crun': dead },
      { 'usr/bin/crun': around },
    ]) {
      expect(await missing(crun)).toMatchObject([{ what: '/usr/bin/crun' }]);
    }
  });

  it('for another machine is refused, and no package would help', async () => {
    expect(await missing({ 'usr/lib/systemd/systemd': elf(183, { isStatic: false }) })).toEqual([
      { what: 'programs for amd64 (it has those of arm64)', need: 'boot' },
    ]);
  });

  it('with programs outside of /usr lacks the links', async () => {
    expect(await missing({ sbin: undefined, 'sbin/fsck': 'x' })).toMatchObject([
      { what: '/sbin as links into /usr', package: 'usrmerge' },
    ]);
  });

  it('needs a busybox that is static and has every applet', async () => {
    expect(await missing({ 'usr/bin/busybox': busybox(allApplets, { isStatic: false }) })).toMatchObject([
      { what: 'a static /usr/bin/busybox', package: 'busybox-static' },
    ]);
    const few = allApplets.filter((name) => name !== 'udhcpc' && name !== 'ipcalc');
    expect(await missing({ 'usr/bin/busybox': busybox(few) })).toMatchObject([
      { what: '/usr/bin/busybox with ipcalc, udhcpc', package: 'busybox-static' },
    ]);
  });

  it('with a systemd that is too old is refused', async () => {
    const status = dpkgStatus({ ...packages, systemd: '249.11-0ubuntu3.12' });
    expect(await missing({ 'var/lib/dpkg/status': status })).toEqual([
      { what: 'systemd 252 or later (it has 249.11-0ubuntu3.12)', need: 'boot' },
    ]);
  });

  it('of another distribution is checked by its files, and said to be untried', async () => {
    const fedora = {
      'usr/lib/os-release': 'ID=fedora\nPRETTY_NAME="Fedora 43"\n',
      'var/lib/dpkg/status': undefined,
    };
    expect(await missing(fedora)).toEqual([]);
    expect(await notes(fedora)).toEqual([
      'Fedora 43 is neither Debian nor Ubuntu: nobody has tried it as a base',
    ]);
  });
});

describe('the kernel of a base', () => {
  const sevGuest = `${modules}/kernel/drivers/sev-guest.ko`;

  it('is missed as a whole where its image or its modules are not there', async () => {
    const lacking = [{ what: 'a kernel with its modules', need: 'boot', package: kernel }];
    expect(await missing({ 'boot/vmlinuz': undefined })).toEqual(lacking);
    const files = Object.keys(wholeBase()).filter((path) => path.startsWith('usr/lib/modules/'));
    expect(await missing(Object.fromEntries(files.map((path) => [path, undefined])))).toEqual(lacking);
  });

  it('is the newest that is there, under the names that Debian gives it', async () => {
    await using base = await smallBase({
      ...wholeBase(),
      'boot/vmlinuz': undefined,
      'boot/config': undefined,
      [`boot/vmlinuz-${release}`]: wholeBase()['boot/vmlinuz'],
      [`boot/config-${release}`]: wholeBase()['boot/config'],
      'usr/lib/modules/6.9.5-amd64/kernel/old.ko': 'x',
    });
    expect(await inspectBase(base.image)).toMatchObject({ missing: [], notes: [], kernel: { release } });
  });

  it('lacks a module, by the package that its distribution has it in', async () => {
    const ubuntu = { 'usr/lib/os-release': 'ID=ubuntu\nID_LIKE=debian\n' };
    expect(await missing({ [sevGuest]: undefined })).toEqual([
      { what: 'kernel module sev_guest', need: 'boot', package: kernel },
    ]);
    expect(await missing({ [sevGuest]: undefined, ...ubuntu })).toEqual([
      { what: 'kernel module sev_guest', need: 'boot', package: 'linux-image-generic' },
    ]);
  });

  it('is refused where modules are not signed, however they are compressed', async () => {
    const xz = (text: string) => execFileSync('xz', ['-c'], { input: text });
    const pack: [string, (text: string) => Buffer][] = [
      ['', (text) => Buffer.from(text)],
      ['.gz', (text) => gzipSync(text)],
      ['.zst', (text) => zstdCompressSync(Buffer.from(text))],
      ['.xz', xz],
    ];
    for (const [ending, packed] of pack) {
      const as = (text: string) => ({ [sevGuest]: undefined, [`${sevGuest}${ending}`]: packed(text) });
      expect(await missing(as(signed))).toEqual([]);
      expect(await missing(as('module without'))).toMatchObject([{ what: 'signed kernel modules' }]);
    }
  });

  it('is refused where a module unpacks to more than any has, and it is never held', async () => {
    const script = 'head -c 600M /dev/zero | zstd -q -1; printf %s "$1" | zstd -q';
    const bomb = execFileSync('sh', ['-c', script, 'sh', signed], { maxBuffer: 1 << 24 });
    await using base = await smallBase({ ...wholeBase(), [sevGuest]: undefined, [`${sevGuest}.zst`]: bomb });
    const before = process.resourceUsage().maxRSS;
    await expect(inspectBase(base.image, { missingOnly: true })).rejects.toMatchObject({
      name: 'UserError',
      message: `cannot read ${sevGuest}.zst of the base: it is larger than any module`,
    });
    // Kilobytes.
    expect(process.resourceUsage().maxRSS - before).toBeLessThan(300 * 1024);
  });

  it('lacks an option of its configuration', async () => {
    const config = String(wholeBase()['boot/config']).replace(
      'CONFIG_SQUASHFS_ZSTD=y',
      '# CONFIG_SQUASHFS_ZSTD is not set',
    );
    expect(await missing({ 'boot/config': config })).toEqual([
      { what: 'a kernel with CONFIG_SQUASHFS_ZSTD=y', need: 'boot', package: kernel },
    ]);
  });

  it('without a configuration is not refused for that; it is said', async () => {
    expect(await missing({ 'boot/config': undefined })).toEqual([]);
    expect(await notes({ 'boot/config': undefined })).toContain(
      'the configuration of the kernel is not there, so it was not checked',
    );
  });

  it('is refused where it is too old, or not the one that the modules are for', async () => {
    expect(await missing({ 'boot/vmlinuz': bzImage('6.12.4-amd64 #1', 'x') })).toMatchObject([
      { what: `modules of the kernel 6.12.4-amd64 (it has those of ${release})` },
    ]);
    const old = Object.fromEntries(
      Object.entries(wholeBase()).map(([path, content]) => [
        path.replace(release, '5.15.0-91-generic'),
        content,
      ]),
    );
    await using base = await smallBase({ ...old, 'boot/vmlinuz': bzImage('5.15.0-91-generic #1', 'x') });
    expect((await inspectBase(base.image, { missingOnly: true })).missing).toMatchObject([
      { what: 'a kernel of version 5.19 or later', package: kernel },
    ]);
  });

  it('is refused where it is no bzImage', async () => {
    expect(await missing({ 'boot/vmlinuz': 'an image for another machine' })).toMatchObject([
      { what: '/boot/vmlinuz as a 64-bit bzImage' },
    ]);
  });
});

describe('an image of a server', () => {
  it('is told what has no effect in the CVM', async () => {
    const found = await notes({
      'usr/bin/cloud-init': 'x',
      'usr/sbin/qemu-ga': 'x',
      'usr/sbin/sshd': 'x',
      'usr/sbin/lvm': 'x',
      'etc/systemd/system/multi-user.target.wants/mine.service': { to: '/etc/systemd/system/mine.service' },
      'etc/fstab': '# comment\nUUID=1 / ext4 defaults 0 1\n/dev/vg/data /srv ext4 defaults 0 2\n',
      'etc/crypttab': 'secret /dev/sdb none\n',
      'etc/shadow': 'root:*:1::::::\nubuntu:$y$j9T$hash:1::::::\nlocked:!$y$hash:1::::::\n',
      'etc/sysctl.d/60-mine.conf': 'vm.swappiness=1\n',
      'etc/ld.so.preload': '/usr/lib/hook.so\n',
    });
    expect(found).toEqual([
      'not started in the CVM: cloud-init, qemu-guest-agent, sshd, LVM',
      'units that are enabled here and do not exist in the CVM: mine.service',
      'not mounted in the CVM, whose fstab is empty: /, /srv',
      'not opened in the CVM, whose crypttab is empty: secret',
      'passwords that the CVM locks: ubuntu',
      'kernel settings that nothing applies in the CVM: 60-mine.conf',
      "/etc/ld.so.preload: every program of the CVM's system loads /usr/lib/hook.so",
    ]);
  });
});

describe('requireBase', () => {
  const lacking = { 'usr/bin/crun': undefined, 'usr/sbin/nft': undefined, 'usr/bin/jose': undefined };

  it('names everything that is missing at once, and the line that brings it', async () => {
    await using base = await smallBase({ ...wholeBase(), ...lacking });
    await expect(requireBase({ squashfs: base.image, origin: 'disk.qcow2' })).rejects.toMatchObject({
      name: 'UserError',
      message: 'cannot use the base (disk.qcow2): it lacks 2 things that the CVM needs',
      details: ['/usr/sbin/nft: the firewall', '/usr/bin/crun: runs the workload'],
      hint: 'in the image: apt-get install crun nftables; or let `cvm base complete` add them',
    });
  });

  it('asks for what only development bundles or a share need where that is wanted', async () => {
    await using base = await smallBase({
      ...wholeBase(),
      'usr/bin/jose': undefined,
      'usr/sbin/mount.nfs': undefined,
    });
    const subject = { squashfs: base.image, origin: 'disk.qcow2' };
    expect((await requireBase(subject)).missing).toHaveLength(2);
    await expect(requireBase(subject, { needs: ['development'] })).rejects.toMatchObject({
      details: ["/usr/bin/jose: opens the development key broker's answer"],
    });
    await expect(requireBase(subject, { needs: ['share'] })).rejects.toMatchObject({
      details: ['/usr/sbin/mount.nfs: mounts the NFS share'],
    });
  });

  it('gives no apt line to a distribution without apt, and none that would not help', async () => {
    const fedora = { 'usr/lib/os-release': 'ID=fedora\nNAME=Fedora\n' };
    await using base = await smallBase({ ...wholeBase(), ...lacking, ...fedora });
    await expect(requireBase({ squashfs: base.image, origin: 'x' })).rejects.toMatchObject({
      hint: expect.stringContaining('install what is missing in Fedora'),
    });
    await using arm = await smallBase({
      ...wholeBase(),
      'usr/lib/systemd/systemd': elf(183, { isStatic: false }),
    });
    await expect(requireBase({ squashfs: arm.image, origin: 'x' })).rejects.toMatchObject({
      hint: expect.stringContaining('no package mends this'),
    });
  });
});

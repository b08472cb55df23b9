import { execFileSync } from 'node:child_process';
import { mkdir, rename, rm, stat, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Base } from '../../src/base/index.ts';
import { diskOf, espOf } from '../integration/base/import/disks.ts';
import { linearSegment, lvmMissing, makeGroup } from '../integration/base/import/lvm.ts';
import { asRoot } from '../integration/base/import/system.ts';
import { realBase, seedCache } from '../integration/build/real-base.ts';
import { asBuilt, auditBundle, plantGuestAudit, sections } from './audit.ts';
import type { Boot, Vm } from './harness.ts';
import { ownGenerated, ownModules, ownProcesses, ownSockets, ownUnitFiles } from './locked.ts';

/** One boot of a bundle whose base is an imported disk, with all that such a disk may bring to be started. */
let vm: Vm;
let guest: Record<string, string[]>;

afterAll(async () => {
  await vm?.[Symbol.asyncDispose]();
});

const marks = 'echo planted >> /applog/planted; echo planted > /dev/console';
const unit = (type: 'service' | 'socket') =>
  type === 'service'
    ? `[Unit]\nDefaultDependencies=no\n[Service]\nType=oneshot\nExecStart=/bin/sh -c '${marks}'\n[Install]\nWantedBy=multi-user.target cvm.target\n`
    : '[Socket]\nListenStream=22\nAccept=yes\n[Install]\nWantedBy=sockets.target\n';

/** What an installed Ubuntu brings: cloud-init with its generator, ssh by socket, an agent, timers, mounts. */
const planted: Readonly<Record<string, string>> = {
  ...Object.fromEntries(
    ['cloud-init', 'ssh@', 'qemu-guest-agent', 'snapd', 'lvm2-monitor'].flatMap((name) => [
      [`usr/lib/systemd/system/${name}.service`, unit('service')],
      [`etc/systemd/system/multi-user.target.wants/${name}.service`, unit('service')],
      [`etc/systemd/system/cvm.target.wants/${name}.service`, unit('service')],
      [`usr/lib/systemd/system/sysinit.target.wants/${name}.service`, unit('service')],
    ]),
  ),
  'usr/lib/systemd/system/ssh.socket': unit('socket'),
  'etc/systemd/system/sockets.target.wants/ssh.socket': unit('socket'),
  'etc/systemd/system/cvm-workload.service.d/override.conf': `[Service]\nExecStartPre=/bin/sh -c '${marks}'\n`,
  'usr/lib/systemd/system-generators/cloud-init-generator': `#!/bin/sh\n${marks}\n`,
  'usr/lib/systemd/system-generators/lvm2-activation-generator': `#!/bin/sh\n${marks}\n`,
  'usr/lib/systemd/system-environment-generators/planted': `#!/bin/sh\n${marks}\n`,
  'etc/fstab':
    'LABEL=planted-boot /boot ext4 defaults 0 1\nLABEL=applog /mnt ext4 defaults 0 0\n/swap.img none swap sw 0 0\n',
  'etc/crypttab': 'planted /dev/vda\n',
  'etc/modules-load.d/planted.conf': 'nfs\n',
  'etc/rc.local': `#!/bin/sh\n${marks}\n`,
  'etc/shadow': 'root:$6$planted$planted:19000:0:99999:7:::\nplanted::19000:0:99999:7:::\n',
  'etc/machine-id': '0123456789abcdef0123456789abcdef\n',
};

/** ESP, /boot, and the root on a logical volume of two segments: the disk of Ubuntu's server installer. */
async function installedDisk(folder: string, base: Base): Promise<string> {
  const release = base.kernelRelease;
  const files = join(folder, 'planted');
  for (const [name, text] of Object.entries(planted)) {
    await mkdir(dirname(join(files, name)), { recursive: true });
    await writeFile(join(files, name), text, {
      mode: name.includes('generators') || name.endsWith('rc.local') ? 0o755 : 0o644,
    });
  }
  const root = join(folder, 'root');
  const boot = join(folder, 'boot');
  asRoot(
    `folder=$1; tree=$1/tree; mkdir "$tree" "$1/boot-tree"; sqfs2tar "$2" | tar -x -C "$tree"; cp -r "$1/planted/." "$tree"
     chmod 640 "$tree/etc/shadow"
     mv "$tree/boot/vmlinuz" "$1/boot-tree/vmlinuz-$3"; mv "$tree/boot/config" "$1/boot-tree/config-$3"
     mkdir -p "$tree/var/lib/dpkg"; truncate -s 600M "$4"; truncate -s 40M "$5"
     mke2fs -q -F -t ext4 -d "$tree" "$4"; mke2fs -q -F -t ext4 -L planted-boot -d "$1/boot-tree" "$5"; rm -rf "$tree"`,
    ...[folder, base.squashfs, release, root, boot],
  );
  const missing = lvmMissing();
  if (missing !== undefined) {
    console.log(`the root lies on a partition, not on LVM: ${missing}`);
    return diskOf(join(folder, 'disk.raw'), 'gpt', [
      { file: espOf(folder), line: 'type=U' },
      { file: boot, line: 'type=L' },
      { file: root, line: 'type=L' },
    ]);
  }
  const physical = join(folder, 'pv');
  makeGroup(physical, 700, 'ubuntu-vg', [
    { name: 'ubuntu-lv', segments: [linearSegment(0, 75, 80), linearSegment(75, 75, 2)] },
  ]);
  for (const [skip, seek] of [
    [0, 80],
    [75, 2],
  ] as const) {
    const places = [`skip=${skip * 4}`, `seek=${1 + seek * 4}`, 'count=300'];
    execFileSync('dd', [
      `if=${root}`,
      `of=${physical}`,
      'bs=1M',
      ...places,
      'conv=notrunc,sparse',
      'status=none',
    ]);
  }
  await rm(root);
  return diskOf(join(folder, 'disk.raw'), 'gpt', [
    { file: espOf(folder), line: 'type=U' },
    { file: boot, line: 'type=L' },
    { file: physical, line: 'type=E6D6D379-F507-44C2-A23C-238F2A3DF928' },
  ]);
}

beforeAll(async () => {
  vm = await auditBundle('lock-down', {
    builderFile: async (work) => {
      const folder = join(work, 'disk');
      await mkdir(folder);
      const disk = await installedDisk(folder, await realBase());
      const image = join(work, 'ubuntu_base.qcow2');
      execFileSync('qemu-img', ['convert', '-O', 'qcow2', disk, image]);
      await rm(folder, { recursive: true });
      expect((await stat(image)).size).toBeGreaterThan(50e6);
      // The firmware comes from there; the base is to be imported.
      await seedCache(join(work, 'cache'));
      await rename(join(work, 'cache/base'), join(work, 'other-base'));
      const file = join(work, 'builder.yml');
      await writeFile(file, `base: { image: ${image} }\ncache: ${join(work, 'cache')}\n`);
      return file;
    },
  });
});

test('a bundle whose base is an imported disk with LVM boots, and its workload runs to its end', async () => {
  await plantGuestAudit(vm);
  const end: Boot = await vm.boot({ hostile: asBuilt(vm) });
  guest = sections((await vm.log('guest.txt')) ?? '');
  expect(end).toMatchObject({ end: 'powered-off', verdict: { result: 'ok' } });
  expect(await vm.log('workload.log')).toContain('audit: end');
});

test('nothing that the disk brought to be started ran: units, generators, drop-ins, sockets', async () => {
  expect(await vm.log('planted')).toBeUndefined();
  expect(guest['unit-files']!.toSorted()).toEqual(ownUnitFiles);
  expect(guest.generated!.toSorted()).toEqual(ownGenerated);
  expect(guest.processes).toEqual(ownProcesses);
  expect(guest.listening).toEqual(ownSockets);
});

test('what it would mount, swap to, load or log in with is not there', () => {
  expect(guest.modules).toEqual(ownModules);
  expect(guest.swap).toEqual([]);
  expect(guest.mounts!.filter((line) => line.includes('/mnt'))).toEqual([]);
  expect(guest.accounts!.filter((line) => !line.endsWith(':!*'))).toEqual([]);
});

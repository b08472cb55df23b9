import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { workDirectory } from '../../src/host/temp.ts';
import { asBuilt, auditBundle, auditLines, plantGuestAudit, sections } from './audit.ts';
import { editDrive } from './drives.ts';
import type { Boot, Vm } from './harness.ts';
import { ownGenerated, ownModules, ownProcesses, ownSockets, ownUnitFiles } from './locked.ts';

/** One boot, with all the devices of a host that hopes for a driver or a program that takes them up. */
let vm: Vm;
let end: Boot;
let inside: string[];
let guest: Record<string, string[]>;

afterAll(async () => {
  await vm?.[Symbol.asyncDispose]();
});

/** A cloud-init drive, a guest agent's port, a network card, a stick, a keyboard. */
async function addedDevices(work: string): Promise<string[]> {
  const cidata = join(work, 'cidata');
  await mkdir(cidata);
  await writeFile(join(cidata, 'user-data'), '#cloud-config\npassword: planted\n');
  await writeFile(join(cidata, 'meta-data'), 'instance-id: planted\n');
  const fat = (id: string) =>
    `if=none,id=${id},driver=raw,readonly=on,file.driver=vvfat,file.dir=${cidata},file.label=cidata`;
  return [
    ...['-drive', fat('cidata'), '-device', 'virtio-blk-pci,drive=cidata,serial=cidata'],
    ...['-device', 'qemu-xhci', '-drive', fat('stick'), '-device', 'usb-storage,drive=stick,removable=on'],
    ...['-device', 'usb-kbd', '-device', 'usb-tablet'],
    ...['-chardev', 'null,id=agent', '-device', 'virtserialport,chardev=agent,name=org.qemu.guest_agent.0'],
    ...['-device', 'virtconsole,chardev=agent2', '-chardev', 'null,id=agent2'],
    ...['-netdev', 'user,id=second,restrict=on', '-device', 'e1000e,netdev=second,romfile='],
  ];
}

test('boots with all of these, and its workload runs to its end', async () => {
  vm = await auditBundle('lock-down');
  await plantGuestAudit(vm);
  const ofRoot = [
    'write secret /secret',
    'sif /secret mode 0100600',
    'sif /secret uid 0',
    'sif /secret gid 0',
  ];
  await editDrive(vm.file('user_data.qcow2'), ofRoot, { secret: 'for root alone\n' });
  await using work = await workDirectory();
  end = await vm.boot({ hostile: { ...asBuilt(vm), extraArguments: await addedDevices(work.path) } });
  inside = await auditLines(vm);
  guest = sections((await vm.log('guest.txt')) ?? '');
  expect(end).toMatchObject({ end: 'powered-off', verdict: { result: 'ok' } });
});

test('from inside of the container only what a container may do is possible', () => {
  expect(inside).toEqual([
    // Docker's default capabilities without NET_RAW (bit 13) and AUDIT_WRITE (29); 2 is a filter of system calls.
    ...['CapBnd', 'CapEff'].map((name) => `${name}: ${capabilityMask().toString(16).padStart(16, '0')}`),
    'Seccomp: 2',
    'core dumps: 0, 0',
    // The overlay, whose writable layer is in RAM.
    '/tmp lies in /',
    'root is overlay',
    // On user_data: a file of root's there is the container's root's.
    'secret: for root alone, 0 0',
    `/dev holds ${containerDevices.map((name) => `/dev/${name} `).join('')}`,
    ...['a file in the root', 'a file in /tmp'].map((what) => `${what}: possible`),
    // In a user namespace no node is made for a device.
    ...nodesInside.flatMap((what) => [`${what}: no node`, `${what}: refused`]),
    ...refusedInside.map((what) => `${what}: refused`),
    'ready',
    'end',
  ]);
});

test('systemd knows our units and no others, and made none up', () => {
  expect(guest['unit-files']!.toSorted()).toEqual(ownUnitFiles);
  expect(guest.generated!.toSorted()).toEqual(ownGenerated);
  const units = guest.units!.filter((line) => !/\.(mount|device) |not-found/.test(line));
  expect(units.sort()).toEqual([
    '-.slice loaded active active',
    'container.slice loaded active active',
    'cvm-dhcp.service loaded active running',
    'cvm-lock.service loaded active exited',
    // This user_data names no share.
    'cvm-nfs.service loaded inactive dead',
    // Nor has the bundle snpguest.
    'cvm-report.socket loaded inactive dead',
    'cvm-workload-log.service loaded active running',
    'cvm-workload-space.service loaded active running',
    'cvm-workload.service loaded active running',
    'cvm.target loaded active active',
    'init.scope loaded active running',
    'system.slice loaded active active',
  ]);
  // Nothing that only others name was started.
  for (const line of guest.units!.filter((line) => line.includes('not-found')))
    expect(line).toMatch(/ not-found inactive dead$/);
});

test('no login, agent or shell runs, and no program reads a terminal', () => {
  expect(guest.processes).toEqual(ownProcesses);
});

test('emergency, rescue, debug shell, login, ssh and Ctrl-Alt-Del are not there to be started, nor are modules', () => {
  expect(guest.doors).toEqual(['tried']);
});

test('nothing listens but systemd on its own sockets', () => {
  expect(guest.listening).toEqual(ownSockets);
});

test('the modules are those of the list, and no device of the host has brought another', () => {
  expect(guest.modules).toEqual(ownModules);
});

test('the root is read-only under an overlay in RAM, and all mounts are as we made them', () => {
  const mounts = guest.mounts!.map((line) =>
    line.replaceAll('relatime,', '').replace(',relatime', '').trimEnd(),
  );
  expect(mounts.filter((line) => !/^\/run\/cvm\/segments\/\d+ /.test(line)).sort()).toEqual(
    [...mountsOfGuest].sort(),
  );
  expect(guest.swap).toEqual([]);
});

test('the kernel is locked: modules, kexec, SysRq, Ctrl-Alt-Del, core dumps, user name spaces', () => {
  expect(guest.settings).toEqual([
    ...[
      'kernel/modules_disabled=1',
      'kernel/kexec_load_disabled=1',
      'kernel/sysrq=0',
      'kernel/ctrl-alt-del=0',
    ],
    ...[
      'kernel/core_pattern=|/usr/bin/false',
      'kernel/kptr_restrict=2',
      'kernel/unprivileged_bpf_disabled=1',
    ],
    ...['user/max_user_namespaces=0', 'fs/protected_symlinks=1', 'fs/protected_hardlinks=1'],
    ...['kernel/modprobe=', 'kernel/poweroff_cmd=/usr/bin/false'],
    ...['bset', 'inheritable'].map((set) => `kernel/usermodehelper/${set}=0 0`),
    'net/ipv4/ip_unprivileged_port_start=0',
    ...[
      'net/ipv4/ip_forward=0',
      'net/ipv4/conf/all/accept_redirects=0',
      'net/ipv6/conf/all/accept_redirects=0',
    ],
    ...['lockdown=none [integrity] confidentiality', 'kexec_loaded=0'],
  ]);
});

test('the root of the container is nobody in the VM, as the VM sees it, and so is what it makes', () => {
  expect(guest.container).toEqual([
    'uid 65536 65536 65536 65536',
    'gid 65536 65536 65536 65536',
    'file 65536 65536',
  ]);
});

test('no program that the container names is run as the root of the VM', async () => {
  expect(await vm.log('canary.txt')).toBeUndefined();
  expect(guest.canary).toEqual([]);
});

test('the container leaves the VM a part of the memory', () => {
  const [limit, total] = guest.memory!.map(Number);
  expect(limit).toBeLessThan(0.9 * total!);
  expect(limit).toBeGreaterThan(0.5 * total!);
});

test('all accounts are locked', () => {
  expect(guest.accounts).toContain('root:!*');
  expect(guest.accounts!.filter((line) => !line.endsWith(':!*'))).toEqual([]);
  expect(guest.passwords).toEqual(['x']);
});

/** Bits of capabilities(7) that Docker leaves a container, without 13 and 29. */
function capabilityMask(): number {
  return [0, 1, 3, 4, 5, 6, 7, 8, 10, 18, 27, 31].reduce((mask, bit) => mask + 2 ** bit, 0);
}

const containerDevices = [
  ...['core', 'fd', 'full', 'mqueue', 'null', 'ptmx', 'pts', 'random', 'shm'],
  ...['stderr', 'stdin', 'stdout', 'tty', 'urandom', 'zero'],
];

const nodesInside = [
  'a random device by a device node',
  'reading a drive by a device node',
  'reading memory by a device node',
  'the serial console by a device node',
  'the console by a device node',
  'a network tunnel by a device node',
];

const refusedInside = [
  ...['mounting', 'remounting /applog with programs', 'a user name space', 'a network name space'],
  ...['loading a module', 'swap', 'restarting', 'the clock', 'the host name', 'a kernel setting', 'SysRq'],
  ...['a setting in /sys', 'the kernel log', 'a raw socket', 'the memory of the kernel', 'the firewall'],
  'seeing processes outside',
  ...['a program for crashes', 'a program for modules', 'a program for devices', 'the pipe of the log'],
];

const sealed = 'squashfs ro,nodev';
const kernel = 'rw,nosuid,nodev,noexec';
const ramOf = (name: string) => `upperdir=/run/cvm/ram/${name}/upper,workdir=/run/cvm/ram/${name}/work`;

const userConfig =
  'overlay ro,nosuid,nodev,nosymfollow ro,lowerdir=/run/cvm/segments/site/usr/lib/cvm/user_config.sealed:/run/cvm/user_config.plain';

/** Mount point, type, options; of an overlay its layers. The workload's own layers are left out. */
const mountsOfGuest = [
  `/ overlay ro,nodev ro,lowerdir=site:base,${ramOf('system')}`,
  // systemd's own, drawn at each boot: the root's is empty.
  '/etc/machine-id tmpfs ro',
  '/run/cvm/ram/system tmpfs rw,nosuid,nodev',
  '/run/cvm/ram/workload tmpfs rw,nosuid,nodev',
  ...['base', 'site'].map((name) => `/run/cvm/segments/${name} ${sealed}`),
  ...['system', 'system-generators', 'system-environment-generators', 'system-shutdown', 'system.conf.d'].map(
    (name) => `/usr/lib/systemd/${name} ${sealed}`,
  ),
  ...['/etc/systemd', '/usr/local/lib/systemd'].map((folder) => `${folder} ${sealed}`),
  `/applog ext4 ${kernel},nosymfollow`,
  '/user_data ext4 ro,nosuid,nodev,noexec,nosymfollow',
  '/run/cvm/user_config.plain tmpfs ro,nosuid,nodev,nosymfollow',
  `/run/cvm/user_config ${userConfig}`,
  '/vault ext4 rw,nosuid,nodev',
  '/run/cvm/user-namespace nsfs rw',
  `/run/cvm/workload/rootfs overlay rw,nodev rw,lowerdir=1:0,${ramOf('workload')}`,
  '/run/cvm/workload/rootfs/sys sysfs ro,nosuid,nodev,noexec',
  `/run/cvm/workload/rootfs/user_config ${userConfig}`,
  '/run/cvm/workload/rootfs/user_data ext4 ro,nosuid,nodev,noexec,nosymfollow,idmapped',
  `/run/cvm/workload/rootfs/applog ext4 ${kernel},nosymfollow,idmapped`,
  '/run/cvm/workload/rootfs/vault ext4 rw,nosuid,nodev,idmapped',
  `/proc proc ${kernel}`,
  `/sys sysfs ${kernel}`,
  `/sys/kernel/security securityfs ${kernel}`,
  `/sys/fs/cgroup cgroup2 ${kernel}`,
  `/sys/fs/pstore pstore ${kernel}`,
  `/sys/fs/bpf bpf ${kernel}`,
  '/dev devtmpfs rw,nosuid',
  '/dev/shm tmpfs rw,nosuid,nodev',
  '/dev/pts devpts rw,nosuid,noexec',
  '/run tmpfs rw,nosuid,nodev',
  `/run/lock tmpfs ${kernel}`,
];

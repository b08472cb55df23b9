import { accessSync, constants } from 'node:fs';
import { join } from 'node:path';
import { run } from '../host/run.ts';

/** What a boot without SEV-SNP hardware is started with. */
export interface Machine {
  /** Bundle folder. */
  folder: string;
  /** Private folder with the hash table and the command line as files. */
  hashTable: string;
  /** Guest-physical address that the firmware reads the hash table at. */
  hashTableAddress: string;
  /** NUL-terminated command line. */
  cmdlineFile: string;
  vcpus: number;
  memoryGib: number;
  accelerator: 'kvm' | 'tcg';
  userDataWritable: boolean;
  /** Serials of drives that are not attached, for tests that play the hostile host. */
  missingDrives: readonly string[];
  /** File that the guest's verdict is written to. */
  verdictFile: string;
  /** Command that carries a connection to the key broker, run once per connection. */
  kbsForward: string;
  /** Ports of {@link peerAddress} that the guest may connect to, and the command that carries a connection. */
  peerForwards: readonly { port: number; command: string }[];
  /** TCP ports of this host's loopback that lead to ports of the guest. */
  portForwards: readonly { host: number; guest: number }[];
  /** Further block options of QEMU by drive name, for tests that play the hostile host: fault injection. */
  blockOptions: Readonly<Record<string, string>>;
  /** Further options of the user network, for the same: what its DHCP server says, more peers. */
  networkOptions: readonly string[];
  /** Further arguments, for the same. */
  extra: readonly string[];
}

/** Where the guest finds the programs of `cvm boot --peer`, each at its own port. */
export const peerAddress = '10.0.2.101';

/** QEMU splits options at commas; a doubled one stands for itself. */
function option(value: string): string {
  return value.replaceAll(',', ',,');
}

/**
 * QEMU's arguments. The real firmware checks the real hash table: `loader` puts the table where the firmware's
 * metadata says, as the hardware's launch would; kernel, initrd and command line come by fw_cfg. `-kernel` would
 * not do: outside of SEV, QEMU 7.2 patches the kernel's header, and its hash changes.
 */
export function machineArguments(machine: Machine): string[] {
  const { folder } = machine;
  const blob = (name: string, file: string) => ['-fw_cfg', `name=etc/boot/${name},file=${option(file)}`];
  const forwards = machine.portForwards.map(({ host, guest }) => `,hostfwd=tcp:127.0.0.1:${host}-:${guest}`);
  const peers = machine.peerForwards.map(
    ({ port, command }) => `,guestfwd=tcp:${peerAddress}:${port}-cmd:${option(command)}`,
  );
  return [
    ...['-nodefaults', '-no-user-config', '-display', 'none', '-no-reboot', '-serial', 'stdio'],
    ...[
      '-machine',
      'q35',
      '-accel',
      machine.accelerator,
      '-cpu',
      machine.accelerator === 'kvm' ? 'host' : 'max',
    ],
    ...['-smp', String(machine.vcpus), '-m', `${machine.memoryGib}G`],
    ...['-bios', join(folder, 'OVMF.amdsev.fd')],
    ...['-device', `loader,file=${option(machine.hashTable)},addr=${machine.hashTableAddress},force-raw=on`],
    ...blob('kernel', join(folder, 'vmlinuz')),
    ...blob('initrd', join(folder, 'initrd.img')),
    ...blob('cmdline', machine.cmdlineFile),
    ...drive(machine, 'crypt_root', 'rootfs', false),
    ...drive(machine, 'applog', 'applog', false),
    ...drive(machine, 'user_config', 'user_config', true),
    ...drive(machine, 'user_data', 'user_data', !machine.userDataWritable),
    ...['-device', 'virtio-serial-pci', '-chardev', `file,id=verdict,path=${option(machine.verdictFile)}`],
    ...['-device', 'virtserialport,chardev=verdict,name=cvm.verdict'],
    // Nothing but the key broker, and the peers that were named, can be reached from inside.
    '-netdev',
    [
      `user,id=net,restrict=on,guestfwd=tcp:10.0.2.100:8999-cmd:${option(machine.kbsForward)}${[...peers, ...forwards].join('')}`,
      ...machine.networkOptions,
    ].join(','),
    ...['-device', 'virtio-net-pci,netdev=net,romfile='],
    ...machine.extra,
  ];
}

/** A drive of the bundle as the guest finds it: by its virtio serial. */
function drive(machine: Machine, name: string, serial: string, readonly: boolean): string[] {
  const { folder, blockOptions, missingDrives } = machine;
  if (missingDrives.includes(serial)) return [];
  const file = option(join(folder, `${name}.qcow2`));
  const more = blockOptions[name];
  const source = more === undefined ? `file=${file}` : `file.image.filename=${file},${more}`;
  return [
    '-drive',
    `if=none,id=${serial},${source},format=qcow2,readonly=${readonly ? 'on' : 'off'}`,
    '-device',
    `virtio-blk-pci,drive=${serial},serial=${serial}`,
  ];
}

/**
 * True where QEMU can run a guest under KVM with this host's processor. The device alone does not tell: on some
 * virtual machines it is there and fails at the first register.
 */
export async function kvmUsable(signal?: AbortSignal): Promise<boolean> {
  try {
    accessSync('/dev/kvm', constants.R_OK | constants.W_OK);
    const halted = ['-machine', 'q35,accel=kvm', '-cpu', 'host', '-nodefaults', '-display', 'none', '-S'];
    await run('qemu-system-x86_64', [...halted, '-monitor', 'stdio'], { input: 'quit\n', signal });
    return true;
  } catch {
    signal?.throwIfAborted();
    return false;
  }
}

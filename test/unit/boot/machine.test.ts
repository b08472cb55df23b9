import { describe, expect, it } from 'vitest';
import { type Machine, machineArguments } from '../../../src/boot/machine.ts';

const machine: Machine = {
  folder: '/bundles/cvm_0123456789ab',
  hashTable: '/private/hash-table.bin',
  hashTableAddress: '0x810c00',
  cmdlineFile: '/private/cmdline.bin',
  vcpus: 2,
  memoryGib: 3,
  accelerator: 'tcg',
  userDataWritable: false,
  missingDrives: [],
  verdictFile: '/private/verdict',
  kbsForward: "'/bin/busybox' 'nc' '127.0.0.1' '8999'",
  peerForwards: [],
  blockOptions: {},
  portForwards: [],
  networkOptions: [],
  extra: [],
};

const args = (more: Partial<Machine> = {}) => machineArguments({ ...machine, ...more });
/** Values of an option, in order. */
const valuesOf = (list: string[], option: string) =>
  list.flatMap((word, index) => (word === option ? [list[index + 1]!] : []));
const drive = (list: string[], id: string) =>
  valuesOf(list, '-drive').find((value) => value.split(',').includes(`id=${id}`));

describe('machineArguments', () => {
  it('starts the bundle’s own firmware, and kernel, initrd and command line by fw_cfg', () => {
    expect(valuesOf(args(), '-bios')).toEqual(['/bundles/cvm_0123456789ab/OVMF.amdsev.fd']);
    expect(valuesOf(args(), '-fw_cfg')).toEqual([
      'name=etc/boot/kernel,file=/bundles/cvm_0123456789ab/vmlinuz',
      'name=etc/boot/initrd,file=/bundles/cvm_0123456789ab/initrd.img',
      'name=etc/boot/cmdline,file=/private/cmdline.bin',
    ]);
    for (const option of ['-kernel', '-initrd', '-append']) expect(args()).not.toContain(option);
  });

  it('puts the hash table where the firmware looks for it', () => {
    expect(valuesOf(args(), '-device')).toContain(
      'loader,file=/private/hash-table.bin,addr=0x810c00,force-raw=on',
    );
  });

  it('has nothing that QEMU or its host would add by default', () => {
    expect(args()).toContain('-nodefaults');
    expect(args()).toContain('-no-user-config');
    expect(args()).toContain('-no-reboot');
  });

  it('attaches the four drives by their serial, each as a qcow2', () => {
    for (const [name, serial] of [
      ['crypt_root', 'rootfs'],
      ['applog', 'applog'],
      ['user_config', 'user_config'],
      ['user_data', 'user_data'],
    ] as const) {
      expect(drive(args(), serial)).toContain(`file=/bundles/cvm_0123456789ab/${name}.qcow2,format=qcow2`);
      expect(valuesOf(args(), '-device')).toContain(`virtio-blk-pci,drive=${serial},serial=${serial}`);
    }
  });

  it('leaves out the drives that a hostile host does not attach, and only those', () => {
    const list = args({ missingDrives: ['applog'] });
    expect(drive(list, 'applog')).toBeUndefined();
    expect(list.join(' ')).not.toContain('serial=applog');
    for (const serial of ['rootfs', 'user_config', 'user_data']) expect(drive(list, serial)).toBeDefined();
  });

  it('attaches user_config read-only always, user_data unless it is writable', () => {
    expect(drive(args(), 'user_config')).toContain('readonly=on');
    expect(drive(args({ userDataWritable: true }), 'user_config')).toContain('readonly=on');
    expect(drive(args(), 'user_data')).toContain('readonly=on');
    expect(drive(args({ userDataWritable: true }), 'user_data')).toContain('readonly=off');
    for (const name of ['rootfs', 'applog']) expect(drive(args(), name)).toContain('readonly=off');
  });

  it('lets the guest reach the key broker and nothing else', () => {
    const [network, ...others] = valuesOf(args(), '-netdev');
    expect(others).toEqual([]);
    expect(network?.split(',').slice(0, 3)).toEqual(['user', 'id=net', 'restrict=on']);
    expect(network).toContain("guestfwd=tcp:10.0.2.100:8999-cmd:'/bin/busybox' 'nc' '127.0.0.1' '8999'");
    expect(network).not.toContain('hostfwd');
  });

  it('lets it reach named peers as well, at one address and the port of each', () => {
    const [network] = valuesOf(args({ peerForwards: [{ port: 8002, command: 'nc a,b 8002' }] }), '-netdev');
    expect(network).toContain(',restrict=on,');
    expect(network).toContain(',guestfwd=tcp:10.0.2.101:8002-cmd:nc a,,b 8002');
  });

  it('forwards ports of the loopback address only', () => {
    const [network] = valuesOf(args({ portForwards: [{ host: 8443, guest: 443 }] }), '-netdev');
    expect(network).toMatch(/,hostfwd=tcp:127\.0\.0\.1:8443-:443$/);
  });

  it('doubles commas in paths, so that no path can add an option', () => {
    const list = args({
      folder: '/a,b',
      hashTable: '/w,1/table',
      cmdlineFile: '/w,1/cmd',
      verdictFile: '/w,1/verdict',
    });
    expect(drive(list, 'rootfs')).toContain('file=/a,,b/crypt_root.qcow2,format=qcow2');
    expect(valuesOf(list, '-fw_cfg')[0]).toBe('name=etc/boot/kernel,file=/a,,b/vmlinuz');
    expect(valuesOf(list, '-fw_cfg')[2]).toBe('name=etc/boot/cmdline,file=/w,,1/cmd');
    expect(valuesOf(list, '-device')).toContain('loader,file=/w,,1/table,addr=0x810c00,force-raw=on');
    expect(valuesOf(list, '-chardev')).toEqual(['file,id=verdict,path=/w,,1/verdict']);
    // -bios takes a path and no options.
    expect(valuesOf(list, '-bios')).toEqual(['/a,b/OVMF.amdsev.fd']);
  });

  it('gives vCPUs, memory and a processor that fits the accelerator', () => {
    expect(valuesOf(args(), '-smp')).toEqual(['2']);
    expect(valuesOf(args(), '-m')).toEqual(['3G']);
    expect([valuesOf(args(), '-accel'), valuesOf(args(), '-cpu')]).toEqual([['tcg'], ['max']]);
    const kvm = args({ accelerator: 'kvm' });
    expect([valuesOf(kvm, '-accel'), valuesOf(kvm, '-cpu')]).toEqual([['kvm'], ['host']]);
  });

  it('puts further arguments last', () => {
    expect(args({ extra: ['-smbios', 'type=11,value=x'] }).slice(-2)).toEqual(['-smbios', 'type=11,value=x']);
  });
});

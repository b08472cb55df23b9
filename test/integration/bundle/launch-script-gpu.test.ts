import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import {
  after,
  canReplaceMachine,
  type LaunchBench,
  launchBench,
  type PciDevice,
} from './launch-script-bench.ts';

let bench: LaunchBench;
beforeEach(async () => {
  bench = await launchBench();
  await bench.makeReady();
  await mkdir(join(bench.machine, 'sys/bus/pci/devices'), { recursive: true });
});
afterEach(async () => {
  await bench[Symbol.asyncDispose]();
});

const [first, second] = ['0000:41:00.0', '0001:c1:00.0'];
const usable: PciDevice = { driver: 'vfio-pci', group: 12, ranges: [0.015625, 128, 0.03125] };

/** The device files of VFIO for IOMMU groups, and with `iommufd` those of single devices. */
async function vfio(groups: number[], iommufd: boolean): Promise<void> {
  await bench.has('/dev/vfio/vfio', '');
  for (const group of groups) await bench.has(`/dev/vfio/${group}`, '');
  if (!iommufd) return;
  await bench.has('/dev/iommu', '');
  for (const group of groups) await bench.has(`/dev/vfio/devices/vfio${group}`, '');
}

async function startedWith(...args: string[]) {
  const ran = await bench.onMachine(args);
  expect(ran).toMatchObject({ status: 0, stdout: '' });
  return { words: (await bench.started())!, stderr: ran.stderr };
}

async function refused(args: string[], message: RegExp, options: { root?: boolean } = {}) {
  await bench.started();
  const { status, stderr } = await bench.onMachine(args, options);
  expect(stderr).toMatch(message);
  expect(status).toBe(1);
  expect(await bench.started()).toBeUndefined();
}

describe.skipIf(!(await canReplaceMachine()))('GPUs of a machine', () => {
  test('auto takes each that it can, through iommufd, and adds nothing else to the line', async () => {
    await bench.pci(first, usable);
    await bench.pci(second, { ...usable, class: '0x030000', group: 30 });
    await vfio([12, 30], true);
    const { words, stderr } = await startedWith('--gpu', 'auto');
    expect(stderr.split('\n')).toEqual([
      `launch_vm.sh: GPU ${first} is passed through`,
      `launch_vm.sh: GPU ${second} is passed through`,
    ]);
    const [, ...plain] = await bench.dryRun();
    const at = plain.indexOf('-chardev');
    expect(words).toEqual([
      ...plain.slice(0, at),
      ...['-fw_cfg', 'name=opt/ovmf/X-PciMmio64Mb,string=524288'],
      ...['-object', 'iommufd,id=iommufd0'],
      ...['-device', 'pcie-root-port,id=gpu0,bus=pcie.0,chassis=1'],
      ...['-device', `vfio-pci,host=${first},bus=gpu0,iommufd=iommufd0`],
      ...['-device', 'pcie-root-port,id=gpu1,bus=pcie.0,chassis=2'],
      ...['-device', `vfio-pci,host=${second},bus=gpu1,iommufd=iommufd0`],
      ...plain.slice(at),
    ]);
  });

  test.each<[string, () => Promise<unknown>]>([
    ['a kernel without /dev/iommu', () => bench.has('/dev/iommu', undefined)],
    ['a kernel without device files of single devices', () => bench.has('/dev/vfio/devices', undefined)],
    ['a QEMU without iommufd', () => bench.standInQemu('9.2.0', ['sev-snp-guest'])],
  ])('with %s it goes by IOMMU groups', async (_, change) => {
    await bench.pci(first, usable);
    await vfio([12], true);
    await change();
    const { words } = await startedWith('--gpu', first);
    expect(after(words, '-device')).toContain(`vfio-pci,host=${first},bus=gpu0`);
    expect(words.join()).not.toContain('iommufd');
  });

  test.each<[string, PciDevice, RegExp]>([
    [
      'another driver',
      { ...usable, driver: 'nvidia' },
      /it is held by nvidia; bind it to vfio-pci: driverctl set-override 0000:41:00\.0 vfio-pci/,
    ],
    ['no driver', { group: 12 }, /it is held by no driver; bind it/],
    ['no IOMMU', { driver: 'nvidia' }, /the IOMMU is off; .*BIOS/],
  ])('with %s it is left out, or refused when it was asked for', async (_, device, message) => {
    await bench.pci(first, device);
    await bench.pci(second, { ...usable, group: 30 });
    await vfio([30], true);
    const { words, stderr } = await startedWith('--gpu', 'auto');
    expect(after(words, '-device').filter((one) => one.startsWith('vfio'))).toEqual([
      `vfio-pci,host=${second},bus=gpu0,iommufd=iommufd0`,
    ]);
    expect(stderr).toMatch(message);
    const asked = message.source.replace('; ', '\nhint: ');
    await refused(
      ['--gpu', `${second},${first}`],
      new RegExp(`cannot start the VM: the GPU ${first} cannot be passed through: ${asked}`),
    );
  });

  test('what else is in its IOMMU group must let go too; bridges need not', async () => {
    await bench.pci(first, usable);
    await bench.pci('0000:40:01.0', { vendor: '0x1022', class: '0x060400', driver: 'pcieport', group: 12 });
    await bench.pci('0000:41:00.2', { class: '0x0c0330', group: 12 });
    await vfio([12], false);
    await startedWith('--gpu', first);
    await bench.pci('0000:41:00.1', { class: '0x040300', driver: 'snd_hda_intel', group: 12 });
    const message = /0000:41:00\.1 of its IOMMU group is held by snd_hda_intel/;
    await refused(['--gpu', first], message);
    await refused(['--gpu', 'auto'], message);
  });

  test('auto says of each why, and starts nothing, where none can be used', async () => {
    await bench.pci(first, { ...usable, driver: 'nvidia' });
    await bench.pci(second, { driver: 'nouveau' });
    await bench.program(
      'lspci',
      '[ "$1 $2 $3" != "-D -s 0000:41:00.0" ] || echo "$3 3D controller: NVIDIA Corporation GH100 [H100 PCIe] (rev a1)"',
    );
    const { status, stderr } = await bench.onMachine(['--gpu', 'auto']);
    expect(status).toBe(1);
    expect(stderr.split('\n')).toEqual([
      `launch_vm.sh: GPU ${first} (NVIDIA Corporation GH100 [H100 PCIe] (rev a1)) is left out: it is held by nvidia; bind it to vfio-pci: driverctl set-override ${first} vfio-pci`,
      `launch_vm.sh: GPU ${second} is left out: the IOMMU is off; switch it on in the BIOS and start Linux without iommu=off`,
      'launch_vm.sh: cannot start the VM: no GPU can be passed through',
      'hint: the lines above say why; --gpu none starts the VM without one',
    ]);
  });

  test('auto looks at NVIDIA display and 3D controllers alone', async () => {
    await bench.pci('0000:01:00.0', { ...usable, vendor: '0x1002' });
    await bench.pci('0000:02:00.0', { ...usable, class: '0x068000' });
    await bench.pci('0000:03:00.0', { ...usable, class: '0x040300' });
    await bench.pci('0000:04:00.0', { ...usable, class: '0x038000' });
    await refused(['--gpu', 'auto'], /this machine has no NVIDIA GPU\nhint: --gpu none/);
    await rm(join(bench.machine, 'sys/bus/pci'), { recursive: true });
    await refused(['--gpu', 'auto'], /this machine has no NVIDIA GPU/);
  });

  test('a GPU that is not there is told', async () => {
    await refused(['--gpu', first], /cannot be passed through: there is no such PCI device\nhint: lspci/);
  });

  test.each([
    ['/dev/vfio/devices/vfio12', true],
    ['/dev/iommu', true],
    ['/dev/vfio/12', false],
    ['/dev/vfio/vfio', false],
  ])('%s must be open to the user', async (path, iommufd) => {
    await bench.pci(first, usable);
    await vfio([12], iommufd);
    expect(await bench.onMachine(['--gpu', first], { root: false })).toMatchObject({ status: 0 });
    expect(await bench.started()).toBeDefined();
    await bench.mode(join(bench.machine, path), 0);
    await refused(['--gpu', first], new RegExp(`${path} cannot be opened\nhint: .*group`), { root: false });
    if (path === '/dev/iommu') return;
    await bench.has(path, undefined);
    await refused(['--gpu', first], new RegExp(`${path} is missing\nhint: modprobe vfio-pci`));
  });

  test('QEMU 9.1 draws a warning with a GPU only', async () => {
    await bench.standInQemu('9.1.0');
    await bench.pci(first, usable);
    await vfio([12], true);
    expect((await startedWith('--gpu', first)).stderr).toMatch(
      /^launch_vm\.sh: warning: QEMU 9\.1\.0.*9\.2 does$/,
    );
    expect((await startedWith()).stderr).toBe('');
  });

  test.each<[number, number[], string, number, string | undefined]>([
    [1, [16], '16G', 256, undefined],
    [1, [0.015625, 128, 0.03125], '16G', 256, undefined],
    [2, [128, 0.03125], '16G', 512, undefined],
    // Ranges below 4 GiB, which each of these has as well, take none of it.
    [4, [128], '16G', 512, undefined],
    [1, [256, 0.03125], '16G', 512, undefined],
    [4, [256, 0.03125], '96G', 2048, '42'],
    [8, [256, 0.03125], '900G', 4096, '43'],
    // Memory is moved above 1 TiB, so both fill 2 TiB or more.
    [1, [128, 0.03125], '1000G', 256, '42'],
  ])('%i of ranges %j and memory of %s have %i GiB of room', async (number, ranges, memory, room, bits) => {
    const addresses = Array.from({ length: number }, (_, index) => `0000:${index}1:00.0`);
    for (const [group, address] of addresses.entries()) {
      await bench.pci(address, { ...usable, group, ranges });
    }
    const { stdout } = await bench.onMachine(['--gpu', addresses.join(','), '-m', memory, '--dry-run']);
    const words = await bench.words(stdout);
    expect(after(words, '-fw_cfg')).toEqual([`name=opt/ovmf/X-PciMmio64Mb,string=${room * 1024}`]);
    expect(after(words, '-global')).toEqual(
      bits === undefined ? [] : [`EPYC-v4-x86_64-cpu.phys-bits=${bits}`],
    );
  });
});

test('memory beyond 1 TiB has wider addresses, without a GPU as well', async () => {
  expect(after(await bench.dryRun('-m', '976G'), '-global')).toEqual([]);
  expect(after(await bench.dryRun('-m', '977G'), '-global')).toEqual(['EPYC-v4-x86_64-cpu.phys-bits=41']);
  expect(after(await bench.dryRun('-m', '990G'), '-global')).toEqual(['EPYC-v4-x86_64-cpu.phys-bits=42']);
  expect(after(await bench.dryRun('-m', '4096G'), '-global')).toEqual(['EPYC-v4-x86_64-cpu.phys-bits=43']);
});

test('GPUs elsewhere are printed by their addresses, in either form', async () => {
  const words = await bench.dryRun('--gpu', '41:00.0,0001:C1:00.0');
  expect(after(words, '-device').filter((one) => one.startsWith('vfio'))).toEqual([
    `vfio-pci,host=${first},bus=gpu0`,
    `vfio-pci,host=${second},bus=gpu1`,
  ]);
  expect((await bench.dryRun('--gpu', 'none')).join()).not.toContain('vfio');
});

test.each([
  ['0000:41:00.0,rombar=1', /rombar=1 is no PCI address/],
  ['0000:41:00.8', /no PCI address/],
  ['0000:41:20.0', /no PCI address/],
  ['41:00.0,0000:41:00.0', /the GPU 0000:41:00\.0 is named twice/],
  ['41:00.0,,42:00.0', /an empty word is no PCI address/],
  ['41:00.0,', /41:00\.0, is no list of PCI addresses/],
  ['nvidia', /nvidia is no PCI address/],
])('--gpu %s is refused', async (value, message) => {
  expect(await bench.launch(['--gpu', value, '--dry-run'])).toMatchObject({
    status: 2,
    stderr: expect.stringMatching(message),
  });
});

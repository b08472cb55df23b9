import { copyFile, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { buildFirmware, firmwarePlaces, inspectFirmware } from '../../src/base/index.ts';
import { projectRoot } from '../../src/build/builder-file.ts';
import { defaultCacheRoot, openCache } from '../../src/graph/cache.ts';
import type { Verdict } from '../../src/measure/index.ts';
import { efiProgram } from './efi-program.ts';
import { type Boot, copyOfBundle, expectNoWorkload, expectWorkloadEnded, type Vm } from './harness.ts';

const cache = openCache(defaultCacheRoot());
if (process.env.CVM_TEST_BUILD_FIRMWARE === '1') await buildFirmware({ cache });
const weak = await firmwareOf('weak');
const sound = await firmwareOf('sound');

/** The first firmware with that verdict where a build looks, or undefined. */
async function firmwareOf(verdict: Verdict): Promise<string | undefined> {
  for (const { found } of await firmwarePlaces({ cache, baseImages: join(projectRoot, 'base_images') })) {
    if (found !== undefined && (await inspectFirmware(found)).verdict === verdict) return found.file;
  }
  return undefined;
}

async function bundleOn(firmware: string): Promise<Vm> {
  const vm = await copyOfBundle();
  await copyFile(firmware, vm.file('OVMF.amdsev.fd'));
  return vm;
}

const unmeasured = 'a program that nobody measured runs';

/** Boots with a further boot blob below etc/boot/; the hash table is that of kernel, initrd and command line as built. */
async function bootWithBlob(vm: Vm, name: string): Promise<Boot> {
  const program = join(vm.folder, '..', 'unmeasured.efi');
  await writeFile(program, efiProgram(unmeasured, 'power off'));
  const extraArguments = ['-fw_cfg', `name=etc/boot/${name},file=${program}`];
  return vm.boot({ hostile: { extraArguments } });
}

async function expectNothingStarted(vm: Vm, end: Boot): Promise<void> {
  expect(end).toMatchObject({ end: 'firmware-stopped', verdict: undefined, requests: { total: 0 } });
  expect(end.console.join('\n')).not.toMatch(new RegExp(`${unmeasured}|Linux version|EFI stub|InitApp`));
  expect(await vm.log('boot.log')).toBeUndefined();
  await expectNoWorkload(vm, end);
}

test.skipIf(weak === undefined)(
  'weak firmware starts an extra boot blob under the hash table of the measured kernel',
  async () => {
    await using vm = await bundleOn(weak!);
    const end = await bootWithBlob(vm, 'shim');
    // Why it is called weak, and the proof that the blob of the other tests would run if it were let.
    expect(end.console.join('\n')).toContain(unmeasured);
    expect(end.end).toBe('powered-off');
    await expectNoWorkload(vm, end);
  },
);

describe.skipIf(sound === undefined)(
  'sound firmware (skipped until `cvm base firmware build` has made it)',
  () => {
    test('starts the measured kernel, and the workload runs to its end', async () => {
      await using vm = await bundleOn(sound!);
      const end = await vm.boot({ hostile: {}, timeout: 800 });
      await expectWorkloadEnded(vm, end);
    });

    test.each([
      'shim',
      'other',
    ])('starts nothing where there is an extra boot blob named %s', async (name) => {
      await using vm = await bundleOn(sound!);
      await expectNothingStarted(vm, await bootWithBlob(vm, name));
    });

    test('starts nothing without a hash table', async () => {
      await using vm = await bundleOn(sound!);
      // The firmware does not look there.
      await expectNothingStarted(vm, await vm.boot({ hostile: { hashTableAddress: '0x900000' } }));
    });

    test('goes on to nothing else where the measured kernel returns', async () => {
      await using vm = await bundleOn(sound!);
      const measured = 'the measured program returns';
      await writeFile(vm.file('vmlinuz'), efiProgram(measured, 'return'));
      const drive = join(vm.folder, '..', 'drive');
      await mkdir(join(drive, 'EFI/BOOT'), { recursive: true });
      await writeFile(join(drive, 'EFI/BOOT/BOOTX64.EFI'), efiProgram(unmeasured, 'power off'));
      const extraArguments = [
        ...['-drive', `if=none,id=other,format=raw,readonly=on,file=fat:${drive}`],
        ...['-device', 'virtio-blk-pci,drive=other,bootindex=0'],
      ];
      const end = await vm.boot({ hostile: { extraArguments } });
      expect(end.console.join('\n')).toContain(measured);
      expect(end.console.join('\n')).toContain('the measured kernel did not start');
      await expectNothingStarted(vm, end);
    });
  },
);

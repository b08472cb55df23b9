import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { workDirectory } from '../../src/host/temp.ts';
import { asBuilt, auditBundle, auditLines, plantAtHandOver } from '../e2e/audit.ts';
import type { Vm } from '../e2e/harness.ts';
import { seedGpuBase } from './gpu-base.ts';

/*
 * A site with a GPU, on a machine without one, with a base of stand-ins for NVIDIA's software: this proves units, scripts, crun and
 * the container's confinement, and nothing of the driver.
 */

let vm: Vm;
beforeAll(async () => {
  await using work = await workDirectory({ bytes: 2 ** 30 });
  const cache = join(work.path, 'cache');
  await seedGpuBase(join(cache, 'cvm-builder'), work.path);
  vm = await auditBundle('gpu', {
    settings: { cc_gpu_mechanism: 'nvidia_cc' },
    env: { XDG_CACHE_HOME: cache },
  });
});
afterAll(async () => {
  await vm?.[Symbol.asyncDispose]();
});

test('without a driver that loads, the VM powers off and the workload never starts', async () => {
  const end = await vm.boot();
  expect(end).toMatchObject({ end: 'powered-off', verdict: { result: 'failed', code: 'E72' } });
  expect(end.verdict?.message).toMatch(/^NVIDIA's driver is not loaded/);
  expect(await vm.log('boot.log')).toMatch(/\] FAILED E72: NVIDIA's driver is not loaded: .*\n$/);
  expect(await vm.log('workload.log')).toBe('');
});

test('a GPU comes into the container with its own devices, files and variables, and no others', async () => {
  // What a driver would show in /proc; its devices are the kernel's /dev/loop-control and terminals. It stands elsewhere, and the units
  // look there: over a /proc with something mounted in it the kernel lets no container have one of its own.
  const units = '/usr/lib/systemd/system';
  const moved = (unit: string, ...changes: string[]) => [
    `sed ${changes.map((change) => `-e '${change}'`).join(' ')} .${units}/${unit} > run/planted/${unit}`,
    `chroot . mount --bind /run/planted/${unit} ${units}/${unit}`,
  ];
  await plantAtHandOver(vm, [
    'mkdir -p run/planted/gpus/0000:01:00.0',
    "printf 'Character devices:\\n 10 nvidia\\n  4 nvidia-uvm\\n\\nBlock devices:\\n' > run/planted/devices",
    "printf 'Model: \\t\\t none\\nDevice Minor: \\t 237\\n' > run/planted/gpus/0000:01:00.0/information",
    ...moved(
      'cvm-gpu-driver.service',
      's#/proc/devices#/run/planted/devices#',
      's#/proc/driver/nvidia#/run/planted#',
    ),
    ...moved('cvm-gpu.service', 's#/proc/devices#/run/planted/devices#'),
    ...moved('container.slice', 's/char-nvidia rw/char-misc rw/', 's/char-nvidia-uvm rw/char-tty rw/'),
  ]);
  const end = await vm.boot({ hostile: asBuilt(vm) });
  const log = (await vm.log('boot.log')) ?? '';
  expect(log).toMatch(
    /\] the VM has 1 GPU\(s\)\n.*\] the GPU takes work; its evidence is for the workload to check\n/,
  );
  const node = (name: string, numbers: string) => `node: /dev/${name} character special file ${numbers} 666`;
  const hook = (words: string) => [`hook: ${words}`, 'hook: env PATH=/usr/sbin:/usr/bin:/sbin:/bin'];
  expect(await auditLines(vm)).toEqual([
    node('nvidia-uvm', '4:0'),
    node('nvidia-uvm-tools', '4:1'),
    node('nvidia237', 'a:ed'),
    node('nvidiactl', 'a:ff'),
    'the GPU opens',
    // In a user namespace no node can be made for it.
    'the device beside it: no such file',
    'library: what stands for libcuda',
    expect.stringMatching(/^mount: ro,nosuid,nodev,relatime$/),
    'variable: NVIDIA_VISIBLE_DEVICES=void',
    ...hook('create-symlinks --link libcuda.so.1::/usr/lib/x86_64-linux-gnu/libcuda.so'),
    ...hook('update-ldcache --folder /usr/lib/x86_64-linux-gnu'),
    ...hook('disable-device-node-modification'),
  ]);
  expect(end).toMatchObject({ end: 'powered-off', verdict: { result: 'ok' } });
});

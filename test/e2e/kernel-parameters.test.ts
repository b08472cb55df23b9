import { expect, test } from 'vitest';
import { copyOfBundle, expectFailedClosed } from './harness.ts';

/**
 * The host changes the command line and the hash table with it, so the firmware starts the kernel. On hardware the
 * digest would differ and the KBS would deny; here the KBS is told the right digest, so that InitApp stands alone.
 */
test.each([
  ['shells are asked for', (cmdline: string) => `rd.break ${cmdline} init=/bin/sh systemd.debug_shell`],
  ['vm_id is changed', (cmdline: string) => cmdline.replace(/vm_id=\w{12}/, 'vm_id=000000000000')],
  [
    'import of credentials is allowed',
    (cmdline: string) => cmdline.replace('credentials=no', 'credentials=yes'),
  ],
])('InitApp refuses by itself where %s', async (_, change) => {
  await using vm = await copyOfBundle();
  const cmdline = change(vm.manifest.launch.cmdline);
  expect(cmdline).not.toBe(vm.manifest.launch.cmdline);
  const digest = vm.manifest.launch.digests.find(({ vcpus }) => vcpus === 2)!.hex;
  const end = await vm.boot({ hostile: { cmdline, digest } });
  expect(end.digest).not.toBe(digest);
  await expectFailedClosed(vm, end, 'E13', /^the kernel command line is not the measured one$/);
  expect(end.requests?.total).toBe(0);
});

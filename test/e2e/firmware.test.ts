import { expect, test } from 'vitest';
import { type BlobHashes, hashBlobs } from '../../src/measure/index.ts';
import { flipByte } from './drives.ts';
import { copyOfBundle, expectNoWorkload, type Vm } from './harness.ts';

/** Hash table of the bundle as built. */
function blobsOf(vm: Vm): Promise<BlobHashes> {
  return hashBlobs({
    kernel: vm.file('vmlinuz'),
    initrd: vm.file('initrd.img'),
    commandLine: vm.manifest.launch.cmdline,
  });
}

/** The hash table stays as it was built; one byte of what it covers is changed. */
test.each([
  'vmlinuz',
  'initrd.img',
  'the command line',
])('the firmware starts no kernel where one byte of %s was changed', async (what) => {
  await using vm = await copyOfBundle();
  const blobs = await blobsOf(vm);
  const { cmdline } = vm.manifest.launch;
  if (what !== 'the command line') await flipByte(vm.file(what), 5_000_000);
  const end = await vm.boot({
    hostile: {
      blobs,
      firmwareTimeout: 45,
      ...(what === 'the command line' ? { cmdline: cmdline.replace('nocrs', 'nocrt') } : {}),
    },
  });
  expect(end).toMatchObject({ end: 'firmware-stopped', verdict: undefined, requests: { total: 0 } });
  expect(end.console.join('\n')).not.toMatch(/Linux version|EFI stub|InitApp/);
  expect(await vm.log('boot.log')).toBeUndefined();
  await expectNoWorkload(vm, end);
});

import { join } from 'node:path';
import { expect, test } from 'vitest';
import { bundleOf, ociLayout, skopeo, umoci } from '../e2e/archived-image.ts';
import { expectWorkloadEnded } from '../e2e/harness.ts';

test('an OCI layout in a tar runs', async () => {
  await using images = await ociLayout();
  const saved = join(images.path, 'layout.tar');
  await skopeo(images.path, `oci:${images.path}/oci:changed`, `oci-archive:${saved}:quickstart`);
  await using vm = await bundleOf(saved);
  await expectWorkloadEnded(vm, await vm.boot());
});

test('a workload that fails is started again, and in the end the VM says so and powers off', async () => {
  await using images = await ociLayout();
  await umoci('config', '--image', `${images.path}/oci:changed`, '--config.cmd=/no/such/program');
  await umoci('config', '--image', `${images.path}/oci:changed`, '--config.entrypoint=/bin/false');
  const saved = join(images.path, 'failing.tar');
  await skopeo(images.path, `oci:${images.path}/oci:changed`, `docker-archive:${saved}:quickstart:failing`);
  await using vm = await bundleOf(saved);
  const end = await vm.boot({ timeout: 600 });
  expect(end).toMatchObject({ end: 'powered-off', verdict: { result: 'failed', code: 'E70' } });
  const log = (await vm.log('boot.log')) ?? '';
  expect(log.match(/FAILED E70: the workload failed \(exited 1\)/g)).toHaveLength(5);
  expect([...log.matchAll(/starting the workload again in (\d+) s/g)].map((match) => match[1])).toEqual([
    '5',
    '10',
    '20',
    '40',
  ]);
  expect(log).toMatch(/\] powering off: the workload failed 5 times in a row\n$/);
});

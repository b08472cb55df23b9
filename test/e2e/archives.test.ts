import { join } from 'node:path';
import { test } from 'vitest';
import { bundleOf, ociLayout, skopeo } from './archived-image.ts';
import { expectWorkloadEnded } from './harness.ts';

test('an image that umoci changed and skopeo saved as docker-archive runs', async () => {
  await using images = await ociLayout();
  const saved = join(images.path, 'saved.tar');
  await skopeo(images.path, `oci:${images.path}/oci:changed`, `docker-archive:${saved}:quickstart:changed`);
  await using vm = await bundleOf(saved);
  await expectWorkloadEnded(vm, await vm.boot());
});

import { appendFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { listingOf, readManifest, verifyBundle } from '../../../src/bundle/index.ts';
import { workDirectory } from '../../../src/host/temp.ts';
import { makeMeasuredBundle } from './measured-bundle.ts';

test('a drive that does not change in use is listed anew, and the bundle is whole with it', async () => {
  await using work = await workDirectory();
  const { folder, manifest } = await makeMeasuredBundle(work.path);
  const drive = join(folder, 'user_config.qcow2');
  const listing = (await listingOf(drive))!;
  expect(await listing.isListed()).toBe(true);
  const finished = join(work.path, 'finished');
  await writeFile(finished, 'a larger drive');
  await listing.list(finished);
  const changed = await readManifest(folder);
  expect(changed.files['user_config.qcow2'].bytes).toBe(14);
  expect({
    ...changed,
    files: { ...changed.files, 'user_config.qcow2': manifest.files['user_config.qcow2'] },
  }).toEqual(manifest);
  expect((await verifyBundle(folder)).whole).toBe(false);
  await writeFile(drive, 'a larger drive');
  expect(await listing.isListed()).toBe(true);
  expect((await verifyBundle(folder)).whole).toBe(true);
  await appendFile(drive, 'x');
  expect(await listing.isListed()).toBe(false);
});

test('drives that change in use, other files and drives without a manifest have no listing', async () => {
  await using work = await workDirectory();
  const { folder } = await makeMeasuredBundle(work.path);
  for (const name of ['applog.qcow2', 'user_data.qcow2', 'crypt_root.qcow2', 'other.qcow2', 'manifest.json'])
    expect(await listingOf(join(folder, name)), name).toBeUndefined();
  expect(await listingOf(join(work.path, 'user_config.qcow2'))).toBeUndefined();
});

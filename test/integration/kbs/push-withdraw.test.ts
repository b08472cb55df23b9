import { mkdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { readBuilderFile } from '../../../src/build/builder-file.ts';
import { kbsAccess } from '../../../src/build/kbs-access.ts';
import { type PushRequest, pushImages, withdrawKey } from '../../../src/build/push.ts';
import { newDiskKey } from '../../../src/host/secret.ts';
import { writeHandoff } from '../../../src/kbs/handoff.ts';
import { writePolicy } from '../../../src/kbs/policy/policy.ts';
import { addImage, retireImage } from '../../../src/kbs/registry/registry.ts';
import { imageOf } from '../../unit/kbs/records.ts';
import { type AdminSite, adminSite, builderFile } from './client-admin.ts';

const gone = (file: string) => expect(stat(file)).rejects.toThrow(/ENOENT/);

async function requestOf(site: AdminSite): Promise<PushRequest> {
  const { builder, builderFolder } = await readBuilderFile(await builderFile(site));
  return {
    ...site.pushInput(),
    access: await kbsAccess(builder, builderFolder),
    settings: builder.kbs,
  };
}

/** Registers an image that has the resource path of another, with a key of its own. */
async function heirOf(site: AdminSite, number: number, resourcePath: string) {
  const image = { ...imageOf(number), resourcePath };
  const key = newDiskKey();
  const { keyFile } = await writeHandoff(join(site.handoff, `cvm_${image.id}`), { record: image, key });
  await addImage(site.policyDirectory, image);
  await writePolicy(site.policyDirectory);
  return { image, key: key.reveal().toString(), keyFile };
}

describe.each(['field', 'main'] as const)('withdrawal of a key from a KBS of era %s', (era) => {
  test("leaves another, active image's key at the same path alone", async () => {
    await using site = await adminSite({ era });
    const request = await requestOf(site);
    const old = await site.build(1);
    await pushImages(request);
    const retired = await retireImage(site.policyDirectory, old.image.id);
    expect(await withdrawKey(request, retired)).toMatch(/was (?:deleted|overwritten)$/);
    const heir = await heirOf(site, 2, old.image.resourcePath);
    await pushImages(request);
    await writeFile(old.keyFile, old.key);

    const said = await withdrawKey(request, retired);
    expect(said).toContain(`was left: it is that of active image ${heir.image.id}`);
    expect((await site.kbs.received.resource(heir.image.resourcePath))?.toString()).toBe(heir.key);
    // What lies about of the old key is nobody's.
    expect(said).toContain(`${old.keyFile} overwritten and removed`);
    await gone(old.keyFile);
  });

  test('takes it away once that image is retired too', async () => {
    await using site = await adminSite({ era });
    const request = await requestOf(site);
    const old = await site.build(1);
    await retireImage(site.policyDirectory, old.image.id);
    const heir = await heirOf(site, 2, old.image.resourcePath);
    await pushImages(request);
    const retired = await retireImage(site.policyDirectory, heir.image.id);
    await withdrawKey(request, retired);
    const left = (await site.kbs.received.resource(heir.image.resourcePath))?.toString();
    expect(left).not.toBe(heir.key);
    if (era === 'main') expect(left).toBeUndefined();
  });
});

test('withdrawal removes every file of the key, and what a killed build left', async () => {
  await using site = await adminSite();
  const request = await requestOf(site);
  const { image, key, keyFile } = await site.build(1);
  await site.build(2);
  const second = join(site.folder, 'second', `cvm_${image.id}`);
  await mkdir(second, { recursive: true });
  const files = [
    keyFile,
    join(site.handoff, `cvm_${image.id}`, '.disk.key.0123456789ab.tmp'),
    join(second, 'disk.key'),
    join(second, '.disk.key.ba9876543210.tmp'),
  ];
  for (const file of files.slice(1)) await writeFile(file, key);
  const retired = await retireImage(site.policyDirectory, image.id);
  const keyFolders = [site.handoff, join(site.folder, 'second')];
  const said = await withdrawKey({ ...request, keyFolders }, retired);
  for (const file of files) {
    await gone(file);
    expect(said).toContain(file);
  }
  await readFile(join(site.handoff, `cvm_${imageOf(2).id}`, 'disk.key'));
});

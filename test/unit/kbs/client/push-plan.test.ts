import {
  type FileHandle,
  link,
  mkdir,
  mkdtemp,
  open,
  readdir,
  readFile,
  rm,
  stat,
  symlink,
  writeFile,
} from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { newDiskKey } from '../../../../src/host/secret.ts';
import {
  destroyKeyFile,
  destroyKeyFiles,
  findKeyFiles,
  readKeyCopies,
  readKeyFile,
} from '../../../../src/kbs/client/key-files.ts';
import { describePush, joinedValues, planPush } from '../../../../src/kbs/client/push-plan.ts';
import { referenceValues } from '../../../../src/kbs/handoff.ts';
import { imageOf } from '../records.ts';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'push-plan-'));
});
afterEach(() => rm(folder, { recursive: true }));

const key = newDiskKey().reveal().toString();

async function keyOf(id: string): Promise<string> {
  const own = join(folder, `cvm_${id}`);
  await mkdir(own, { recursive: true });
  await writeFile(join(own, 'disk.key'), key, { mode: 0o600 });
  return join(own, 'disk.key');
}

describe('a key file', () => {
  test('is found below the hand-off folder and in the folder of its own', async () => {
    const { id } = imageOf(1);
    const file = await keyOf(id);
    const own = join(folder, `cvm_${id}`);
    for (const folders of [[folder], [own], ['/nonexistent', folder], [folder, own, folder]]) {
      expect(await findKeyFiles(folders, id)).toEqual({ whole: [file], unfinished: [], doomed: [] });
    }
    for (const folders of [[folder], [own], []]) {
      expect(await findKeyFiles(folders, imageOf(2).id)).toEqual({ whole: [], unfinished: [], doomed: [] });
    }
  });

  test('is found in every folder, and with it what a killed build left', async () => {
    const { id } = imageOf(1);
    const file = await keyOf(id);
    const second = join(folder, 'elsewhere', `cvm_${id}`);
    await mkdir(second, { recursive: true });
    const [copy, left] = [join(second, 'disk.key'), join(second, '.disk.key.0123456789ab.tmp')];
    await writeFile(copy, key);
    await writeFile(left, key.slice(0, 7));
    for (const name of ['.disk.key.tmp', '.record.json.0123456789ab.tmp', 'disk.key.old']) {
      await writeFile(join(second, name), '');
    }
    const found = await findKeyFiles([folder, join(folder, 'elsewhere')], id);
    expect(found).toEqual({ whole: [file, copy], unfinished: [left], doomed: [] });
    for (const each of [copy, left]) await destroyKeyFile(each);
    expect((await readdir(second)).sort()).toEqual([
      '.disk.key.tmp',
      '.record.json.0123456789ab.tmp',
      'disk.key.old',
    ]);
  });

  test('of which there are copies is read once they all agree', async () => {
    const [file, copy, other] = [await keyOf('a'), await keyOf('b'), await keyOf('c')];
    expect((await readKeyCopies(file, [copy, other])).reveal().toString()).toBe(key);
    const changed = newDiskKey().reveal().toString();
    await writeFile(other, changed);
    const refused = readKeyCopies(file, [copy, other]);
    await expect(refused).rejects.toThrow(`${other} holds another key`);
    await refused.catch((error: Error) => expect(error.message).not.toMatch(/[0-9a-f]{16}/));
  });

  test('is read into a secret', async () => {
    const secret = await readKeyFile(await keyOf('a'));
    expect(secret.reveal().toString()).toBe(key);
    secret.wipe();
    expect(secret.reveal().toString()).not.toContain(key.slice(0, 8));
  });

  test.each([
    key.slice(1),
    `${key}\n`,
    `${key}0`,
    key.toUpperCase(),
    'g'.repeat(128),
    '',
  ])('of other content is refused and not shown, %#', async (text) => {
    const file = join(folder, 'disk.key');
    await writeFile(file, text);
    const refused = readKeyFile(file);
    await expect(refused).rejects.toThrow(/not 128 lower-case hex digits/);
    await refused.catch((error: Error) => expect(error.message).not.toContain(key.slice(1, 20)));
  });

  test('is never reached through a link', async () => {
    const file = await keyOf('a');
    const own = join(folder, 'cvm_b');
    await mkdir(own);
    await symlink(file, join(own, 'disk.key'));
    await expect(findKeyFiles([folder], 'b')).rejects.toThrow(/cannot read the disk key/);
    await expect(destroyKeyFile(join(own, 'disk.key'))).rejects.toThrow(/cannot remove the disk key/);
    expect(await readFile(file, 'utf8')).toBe(key);
  });

  test('is overwritten, then removed', async () => {
    const file = await keyOf('a');
    const witness = join(folder, 'same-inode');
    await link(file, witness);
    await destroyKeyFile(file);
    await expect(stat(file)).rejects.toThrow(/ENOENT/);
    const left = await readFile(witness);
    expect(left).toHaveLength(128);
    expect(left.toString('latin1')).not.toContain(key.slice(0, 8));
  });

  test('that was being overwritten is found under another name than that of a key, and destroyed again', async () => {
    const { id } = imageOf(1);
    const file = await keyOf(id);
    await using handle = await open(file);
    const spy = vi
      .spyOn(Object.getPrototypeOf(handle) as FileHandle, 'write')
      .mockRejectedValue(new Error('no power'));
    await expect(destroyKeyFile(file)).rejects.toThrow(`cannot remove the disk key ${file}: no power`);
    spy.mockRestore();
    const left = await findKeyFiles([folder], id);
    expect(left).toEqual({ whole: [], unfinished: [], doomed: [expect.stringMatching(/\.doomed$/)] });
    expect(await destroyKeyFiles([folder], id)).toEqual(left.doomed);
    expect(await readdir(dirname(file))).toEqual([]);
  });

  test('that has gone already is no failure', async () => {
    await destroyKeyFile(join(folder, 'disk.key'));
  });
});

describe('the plan', () => {
  const policy = { path: '/policy.rego', text: 'package policy\n' };

  test('has the keys of active images and the values of all of these together', async () => {
    const [one, two, old] = [imageOf(1), imageOf(2), imageOf(3, { status: 'retired' })];
    await keyOf(one.id);
    const left = await keyOf(old.id);
    const plan = await planPush({ version: 1, kind: 'production', images: [one, two, old] }, policy, [
      folder,
    ]);
    expect(plan.keys.map(({ image }) => image.id)).toEqual([one.id]);
    expect(plan.leftOver).toEqual([left]);
    expect(plan.active).toBe(2);
    expect(plan.referenceValues).toEqual(joinedValues([one, two]));
  });

  test('knows what killed builds left, of active images and of retired ones', async () => {
    const [active, old] = [imageOf(1), imageOf(2, { status: 'retired' })];
    const left = [active, old].map(({ id }) => join(folder, `cvm_${id}`, '.disk.key.0123456789ab.tmp'));
    for (const file of left) {
      await mkdir(dirname(file));
      await writeFile(file, key);
    }
    const registry = { version: 1, kind: 'production', images: [active, old] } as const;
    const plan = await planPush({ ...registry, images: [...registry.images] }, policy, [folder]);
    expect(plan).toMatchObject({ keys: [], unfinished: [left[0]], leftOver: [left[1]] });
    const file = await keyOf(active.id);
    const next = await planPush({ ...registry, images: [...registry.images] }, policy, [folder]);
    expect(next).toMatchObject({ keys: [{ file, copies: [], unfinished: [left[0]] }], unfinished: [] });
  });

  test('has what is left of keys that were being destroyed', async () => {
    const [active, old] = [imageOf(1), imageOf(2, { status: 'retired' })];
    const left = [active, old].map(({ id }) => join(folder, `cvm_${id}`, '.disk.key.0123456789ab.doomed'));
    for (const file of left) {
      await mkdir(dirname(file));
      await writeFile(file, key);
    }
    const registry = { version: 1, kind: 'production', images: [active, old] } as const;
    const plan = () => planPush({ ...registry, images: [...registry.images] }, policy, [folder]);
    expect(await plan()).toMatchObject({ keys: [], unfinished: [], leftOver: [], doomed: left });
    const file = await keyOf(active.id);
    expect(await plan()).toMatchObject({
      keys: [{ file, unfinished: [left[0]] }],
      doomed: [left[1]],
    });
  });

  test('of one image has the values that its hand-off has', () => {
    expect(joinedValues([imageOf(1)])).toEqual(referenceValues(imageOf(1)));
  });

  test('of images with a digest in common names it once', () => {
    const values = joinedValues([imageOf(1), { ...imageOf(2), digests: imageOf(1).digests }]);
    expect(values.snp_launch_measurement).toEqual(referenceValues(imageOf(1)).snp_launch_measurement);
  });

  test('of no image empties the lists', () => {
    expect(joinedValues([])).toEqual({ snp_launch_measurement: [], launch_digests: [] });
  });

  test('is shown without a key', async () => {
    const image = imageOf(1);
    await keyOf(image.id);
    const plan = await planPush({ version: 1, kind: 'production', images: [image] }, policy, [folder]);
    const text = describePush(plan, 'https://kbs.example').join('\n');
    expect(text).not.toContain(key);
    expect(text).toContain('<disk key, 128 bytes, not shown>');
    expect(text.match(/^POST .*/gm)).toEqual([
      'POST https://kbs.example/kbs/v0/resource-policy',
      `POST https://kbs.example/kbs/v0/resource/${image.resourcePath}`,
      'POST https://kbs.example/kbs/v0/reference-value',
    ]);
    expect(text).toContain(`, 15 bytes, SHA-256 `);
  });
});

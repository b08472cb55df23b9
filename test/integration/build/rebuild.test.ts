import { chownSync } from 'node:fs';
import { readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { readManifest } from '../../../src/bundle/index.ts';
import type { Registry } from '../../../src/kbs/index.ts';
import { BuildBench, type Outcome } from './bench.ts';

let bench: BuildBench;
let first: string;

const idOf = (folder: string) => folder.slice(-12);
const images = async () => (JSON.parse(await readFile(bench.registry, 'utf8')) as Registry).images;
const rebuild = (named: string, ...more: string[]): Promise<Outcome> =>
  bench.run(['rebuild', named, ...more]);
const key = (id: string) => readFile(bench.path(`handoff/cvm_${id}/disk.key`), 'latin1');

beforeAll(async () => {
  bench = await BuildBench.make();
  expect((await bench.build()).status).toBe(0);
  first = idOf(await bench.bundle());
  // FLARE removes the file that it hands over.
  await rm(bench.path('cc_site-1.yml'));
});
afterAll(() => bench?.[Symbol.asyncDispose]());

describe('the build record', () => {
  it('is for its owner alone, and holds no key', async () => {
    const file = bench.path(`handoff/cvm_${first}/build.json`);
    expect((await stat(file)).mode & 0o777).toBe(0o600);
    const text = await readFile(file, 'utf8');
    expect(text).not.toContain((await key(first)).slice(0, 32));
    const client = await readFile(bench.path('site-1/startup/client.key'), 'latin1');
    expect(text).not.toContain(client.split('\n')[1]);
  });
});

describe('cvm rebuild --plan', () => {
  it('says what is reused and what is made anew, and makes nothing', async () => {
    const before = [await bench.list('target'), await bench.list('handoff')];
    const { status, stdout } = await rebuild(first, '--plan');
    expect(status).toBe(0);
    for (const part of [
      'operating system and kernel',
      "workload's layers",
      'firmware',
      'initrd, shared parts',
    ])
      expect(stdout).toMatch(new RegExp(`^${part} +reused`, 'm'));
    expect(stdout).toMatch(/^disk key +made anew +at every rebuild$/m);
    expect(stdout).toMatch(/^Workload layers +cached$/m);
    expect([await bench.list('target'), await bench.list('handoff')]).toEqual(before);
  });

  it('names each input that changed or has gone, and how to take it', async () => {
    const privacy = bench.path('site-1/local/privacy.json');
    const before = await readFile(privacy);
    await writeFile(privacy, '{}');
    await bench.copyOf('image.tar.gz', 'kept.tar.gz');
    await rm(bench.path('image.tar.gz'));
    const { status, stdout, stderr } = await rebuild(first, '--plan');
    await writeFile(privacy, before);
    await bench.copyOf('kept.tar.gz', 'image.tar.gz');
    expect(status).toBe(1);
    expect(stdout).toMatch(/^docker-archive +gone/m);
    expect(stdout).toMatch(/^startup-kit +changed/m);
    expect(stderr).toContain('--fresh docker-archive,startup-kit');
    expect(stderr.match(/^error: /gm)).toHaveLength(1);
  });

  it('takes another archive where it is named, and says so', async () => {
    await writeFile(bench.path('other.tar'), 'another');
    const { status, stdout } = await rebuild(first, '--plan', '--docker-archive', 'other.tar');
    expect(status).toBe(0);
    expect(stdout).toMatch(/^docker-archive +new +.*other\.tar: [0-9a-f]{12}… -> [0-9a-f]{12}…$/m);
    expect(stdout).toMatch(/^workload's layers +made anew/m);
    expect(stdout).toMatch(/^operating system and kernel +reused/m);
  });

  it('names the settings that another cc_config changes, and keeps the startup kit that FLARE added', async () => {
    const { cc_config } = JSON.parse(await readFile(bench.path(`handoff/cvm_${first}/build.json`), 'utf8'));
    const text = (cc_config.text as string).replace('  - 443 ', '  - 444 ').replace(/user_config:\n.*\n/, '');
    await writeFile(bench.path('cc_new.yml'), `${text}user_config: {}\n`);
    const { status, stdout } = await rebuild(first, '--plan', '--cc-config', 'cc_new.yml');
    expect(stdout).toContain('allowedOutPorts: [443,8002,8999] -> [444,8002,8999]');
    expect(stdout).toMatch(/^startup-kit +same/m);
    expect(status).toBe(0);
  });

  it('makes the shared parts of the initrd anew with --fresh initrd', async () => {
    const { stdout } = await rebuild(first, '--plan', '--fresh', 'initrd');
    expect(stdout).toMatch(/^initrd, shared parts +made anew/m);
    expect(stdout).toMatch(/^Initrd, generic part +to be made/m);
  });

  it('says what --keep-id changes at the key broker', async () => {
    const { stdout } = await rebuild(first, '--plan', '--keep-id');
    expect(stdout).toMatch(/^id +reused +--keep-id$/m);
    expect(stdout).toMatch(/^policy and key +made anew +the development key broker reads both/m);
  });

  it('has one clear error for what is no image, no input and no bundle', async () => {
    for (const args of [
      ['0'.repeat(12)],
      ['absent.tgz'],
      [first, '--fresh', 'coffee'],
      [first, '--keep-id', '--keep-previous'],
    ]) {
      const { status, stderr } = await rebuild(args[0]!, ...args.slice(1));
      expect(status, args.join(' ')).toBe(2);
      expect(stderr.match(/^error: /gm), args.join(' ')).toHaveLength(1);
    }
  });
});

describe('cvm rebuild', () => {
  it('refuses an input that changed, before it has made anything', async () => {
    const privacy = bench.path('site-1/local/privacy.json');
    const before = await readFile(privacy);
    await writeFile(privacy, '{}');
    const { status, stderr, stdout } = await rebuild(first);
    await writeFile(privacy, before);
    expect(status).toBe(1);
    expect(stderr).toContain('startup-kit changed since');
    expect(stdout).not.toContain('is ready');
    expect((await images()).map(({ id }) => id)).toEqual([first]);
  });

  it('replaces the image under its id: new key, new digests, old digests in no policy', async () => {
    const [oldKey, oldImage] = [await key(first), (await images())[0]!];
    const outcome = await rebuild(bench.path(`target/cvm_${first}`), '--keep-id', '--fresh', 'initrd');
    expect(outcome.stderr).not.toContain('error:');
    expect(outcome.status).toBe(0);
    expect(outcome.stdout.trimEnd().split('\n').at(-1)).toBe(
      `CVM Bundle ${bench.path('target/site-1.tgz')} is ready`,
    );
    const [image, ...others] = await images();
    expect(others).toEqual([]);
    expect(image).toMatchObject({ id: first, status: 'active', resourcePath: `keys/root/${first}.2` });
    expect(await key(first)).not.toBe(oldKey);
    const manifest = await readManifest(bench.path(`target/cvm_${first}`));
    expect(manifest.kbs.resource).toBe(image!.resourcePath);
    expect(manifest.launch.digests.map(({ hex }) => hex)).toEqual(image!.digests.map(({ hex }) => hex));
    const policy = await readFile(bench.path('state/cvm-builder/development/policy.rego'), 'utf8');
    for (const { hex } of oldImage.digests) expect(policy).not.toContain(hex);
    for (const { hex } of image!.digests) expect(policy).toContain(hex);
    expect(await bench.list('target')).toEqual([`cvm_${first}`, `cvm_${first}.replaced`, 'site-1.tgz']);
    expect(
      (
        await bench.run([
          'verify',
          bench.path('target/site-1.tgz'),
          '--handoff',
          bench.path(`handoff/cvm_${first}`),
        ])
      ).status,
    ).toBe(0);
  });

  it('as another account makes a new id with a new key, and retires the image it was built from', async () => {
    if (process.getuid?.() !== 0) return; // that account already
    for (const file of await readdir(bench.folder, { recursive: true }))
      chownSync(bench.path(file), 65_534, 65_534);
    chownSync(bench.folder, 65_534, 65_534);
    const outcome = await bench.run(['rebuild', first], { uid: 65_534, gid: 65_534 });
    expect(outcome.stderr).not.toContain('error:');
    expect(outcome.status).toBe(0);
    const [old, image] = await images();
    expect(old).toMatchObject({ id: first, status: 'retired' });
    expect(image).toMatchObject({ status: 'active', resourcePath: `keys/root/${image!.id}` });
    expect(await key(image!.id)).not.toBe(await key(first));
    expect((await stat(join(bench.folder, `handoff/cvm_${image!.id}/build.json`))).uid).toBe(65_534);
  });
});

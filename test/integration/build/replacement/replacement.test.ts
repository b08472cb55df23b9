import { spawn } from 'node:child_process';
import { existsSync, watch } from 'node:fs';
import { type FileHandle, mkdir, open, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { keyBrokerChange } from '../../../../src/build/rebuild/replace-image.ts';
import {
  endEarlier,
  finishReplacements,
  isDecided,
  movingSteps,
} from '../../../../src/build/rebuild/replacement.ts';
import type { BuildSettings } from '../../../../src/build/settings.ts';
import { Secret } from '../../../../src/host/secret.ts';
import { pushTurn } from '../../../../src/kbs/client/index.ts';
import { readRegistry, writeHandoff, writePolicy } from '../../../../src/kbs/index.ts';
import { replaceRecord } from '../../../../src/kbs/registry/registry.ts';
import {
  filesWith,
  makeSite,
  newDigest,
  oldDigest,
  registered,
  replaceIn,
  type Site,
  stateOf,
} from './site.ts';

const kinds = ['development', 'production'] as const;
afterEach(() => void vi.unstubAllEnvs());

const useStateOf = ({ folder }: Site) => vi.stubEnv('XDG_STATE_HOME', join(folder, 'state'));

/** The new image is whole, and the registry has decided for it; nothing is moved yet. */
async function decide({ places, directory, newKey }: Site): Promise<void> {
  await replaceRecord(directory, places.id, (old) => {
    const digests = [{ ...old.digests[0]!, hex: newDigest }];
    const keyFile = join(places.nextHandoff, 'disk.key');
    const record = { ...old, digests, resourcePath: `${old.resourcePath}.2` };
    return old.kind === 'development' ? { ...record, keyFile } : record;
  });
  const { keyFile: _, ...record } = (await readRegistry(directory))!.images[0]!;
  await writeHandoff(places.nextHandoff, { record, key: new Secret(Buffer.from(newKey)) });
}

/** Whatever happened: one image, and where it is the new one, its key and its bundle are there to be used. */
async function expectOldOrNew(site: Site): Promise<'old' | 'new'> {
  const image = await registered(site);
  const { places } = site;
  expect(image.status).toBe('active');
  expect(image.digests.map(({ hex }) => hex)).toEqual(
    image.digests[0]!.hex === oldDigest ? [oldDigest] : expect.arrayContaining([newDigest]),
  );
  const key = (file: string) => readFile(file, 'utf8').catch(() => 'none');
  if (image.digests[0]!.hex === oldDigest) {
    expect(await stateOf(site)).toBe('old');
    if (image.keyFile !== undefined) expect(await key(image.keyFile)).toBe(site.oldKey);
    return 'old';
  }
  const keys = [await key(join(places.nextHandoff, 'disk.key')), await key(join(places.handoff, 'disk.key'))];
  expect(keys).toContain(site.newKey);
  if (image.keyFile !== undefined) expect(await key(image.keyFile)).toBe(site.newKey);
  const bundles = [places.nextBundle, places.bundle].map((folder) => join(folder, 'which'));
  const found = await Promise.all(bundles.map((file) => readFile(file, 'utf8').catch(() => 'none')));
  expect(found).toContain('new');
  return 'new';
}

/** Nothing lies about, and the other image's key is nowhere. */
async function expectWhole(site: Site, state: 'old' | 'new'): Promise<void> {
  await writePolicy(site.directory);
  expect(await stateOf(site)).toBe(state);
  const { places } = site;
  for (const left of [places.nextHandoffFolder, places.nextTargetFolder])
    expect(existsSync(left), left).toBe(false);
  const [own, other] = state === 'old' ? [site.oldKey, site.newKey] : [site.newKey, site.oldKey];
  expect(await filesWith(site.folder, other)).toEqual([]);
  expect(await filesWith(site.folder, own)).toEqual([join(places.handoff, 'disk.key')]);
  expect((await stat(join(places.handoff, 'disk.key'))).mode & 0o777).toBe(0o600);
  const { keyFile } = await registered(site);
  if (keyFile !== undefined) expect(keyFile).toBe(join(places.handoff, 'disk.key'));
}

describe.each(kinds)('replacing a %s image under its id', (kind) => {
  it('changes registry, policy, key, hand-off, bundle and archive, and keeps the old bundle aside', async () => {
    await using site = await makeSite(kind);
    useStateOf(site);
    await replaceIn(site.folder, kind);
    await expectWhole(site, 'new');
    expect(await readFile(`${site.places.bundle}.replaced/which`, 'utf8')).toBe('old');
    expect((await registered(site)).resourcePath).toBe(`keys/root/${site.places.id}.2`);
  });

  it('leaves all as it was where the policy cannot be written', async () => {
    await using site = await makeSite(kind);
    useStateOf(site);
    await writeFile(join(site.directory, 'policy.rego'), 'package another\n');
    await expect(replaceIn(site.folder, kind)).rejects.toThrow('cannot update the policy');
    expect((await registered(site)).digests[0]!.hex).toBe(oldDigest);
    expect(await readFile(join(site.places.handoff, 'disk.key'), 'utf8')).toBe(site.oldKey);
    expect(await readFile(join(site.places.bundle, 'which'), 'utf8')).toBe('old');
  });

  it('waits for a push that is under way', async () => {
    await using site = await makeSite(kind);
    useStateOf(site);
    const turn = await pushTurn(site.directory, new AbortController().signal);
    let done = false;
    const replacing = replaceIn(site.folder, kind).then(() => {
      done = true;
    });
    await vi.waitUntil(() => existsSync(join(site.places.nextHandoff, 'disk.key')));
    await delay(500);
    expect(done).toBe(false);
    expect((await registered(site)).digests[0]!.hex).toBe(oldDigest);
    expect(await readFile(join(site.places.handoff, 'disk.key'), 'utf8')).toBe(site.oldKey);
    await turn.release();
    await replacing;
    await expectWhole(site, 'new');
  });

  it('gives nothing of the new image up to be removed once the registry names it, whatever fails then', async () => {
    await using site = await makeSite(kind);
    useStateOf(site);
    await using handle = await open(site.places.handoff, 'r');
    const prototype = Object.getPrototypeOf(handle) as FileHandle;
    const sync = prototype.sync;
    const spy = vi.spyOn(prototype, 'sync').mockImplementation(async function (this: FileHandle) {
      await sync.call(this);
      if (await isDecided(site.places, site.directory)) throw new Error('no medium');
    });
    const made = [site.places.nextHandoffFolder, site.places.nextTargetFolder];
    try {
      await expect(replaceIn(site.folder, kind, made)).rejects.toThrow('no medium');
    } finally {
      spy.mockRestore();
    }
    const state = await expectOldOrNew(site);
    expect(made).toHaveLength(state === 'new' ? 0 : 2);
    await endEarlier(site.places, site.directory);
    await expectWhole(site, state);
  });

  it('stopped after any step of moving, is finished by the next rebuild', async () => {
    const all: string[] = [];
    for (let stopAfter = 0; ; stopAfter += 1) {
      await using site = await makeSite(kind);
      await decide(site);
      const done: string[] = [];
      for await (const step of movingSteps(site.places, site.directory)) {
        done.push(step);
        if (done.length > stopAfter) break;
      }
      expect(await expectOldOrNew(site)).toBe('new');
      // Without the marker all has been moved.
      if (existsSync(site.places.nextHandoffFolder))
        expect(await endEarlier(site.places, site.directory)).toBe('finished');
      await expectWhole(site, 'new');
      if (done.length <= stopAfter) break;
      all.push(done.at(-1)!);
    }
    expect(all).toEqual([
      'old key gone',
      'new key in place',
      'the registry names the key in its place',
      'hand-off in place',
      'old bundle aside',
      'new bundle in place',
      'archive in place',
      'second copy of the key gone',
    ]);
  });

  it('stopped while a copy of the key is being overwritten, loses neither key', async () => {
    for (const steps of [0, 7]) {
      await using site = await makeSite(kind);
      await decide(site);
      await stoppedWhileOverwriting(site, steps);
      expect(await expectOldOrNew(site)).toBe('new');
      expect(await endEarlier(site.places, site.directory)).toBe('finished');
      await expectWhole(site, 'new');
    }
  });

  it('stopped while it clears up what is left of the hand-off, discards no image', async () => {
    await using site = await makeSite(kind);
    useStateOf(site);
    await replaceIn(site.folder, kind);
    await mkdir(site.places.nextHandoff, { recursive: true });
    await writeFile(join(site.places.nextHandoff, 'README.txt'), '');
    expect(await endEarlier(site.places, site.directory)).toBeUndefined();
    await expectWhole(site, 'new');
  });

  it('killed at any moment is the old image or the new one, and the next rebuild makes either whole', async () => {
    const killedAt = async (event: number) => {
      await using site = await makeSite(kind);
      await killedAtEvent(site, kind, event);
      const state = await expectOldOrNew(site);
      const outcome = await endEarlier(site.places, site.directory);
      expect([undefined, state === 'old' ? 'discarded' : 'finished']).toContain(outcome);
      await expectWhole(site, state);
      return state;
    };
    // How many changes there are depends on what the tools do: one run to its end counts them.
    await using whole = await makeSite(kind);
    const changes = await killedAtEvent(whole, kind, Number.POSITIVE_INFINITY);
    const moments: string[] = [];
    for (const part of [0, 0.15, 0.3, 0.45, 0.6, 0.75, 0.85, 0.95])
      moments.push(await killedAt(1 + Math.floor(part * changes)));
    expect(new Set(moments)).toEqual(new Set(['old', 'new']));
  });
});

describe('the plan of a replacement of a production image', () => {
  const resource = 'keys/root/0.2';
  const said = (site: Site, kbs: object, binaries?: string) =>
    keyBrokerChange(
      {
        kind: 'production',
        handoffFolder: join(site.folder, 'handoff'),
        binaries,
        builderFolder: site.folder,
        builder: { kbs: { push: 'auto', url: 'http://127.0.0.1:8999', ...kbs } },
      } as unknown as BuildSettings,
      site.places.id,
      resource,
    );

  it('tells of the second policy where the old key is out, and by whom all is pushed', async () => {
    await using site = await makeSite('production');
    const adminKey = join(site.folder, 'admin.key');
    await writeFile(adminKey, 'a key', { mode: 0o600 });
    expect(await said(site, { push: 'never' })).toMatch(/^to be stored by you: .*keys\/root\/0\.2$/);
    expect(await said(site, { push: 'script' })).toMatch(/^pushed by your script/);
    expect(await said(site, { adminKey })).toMatch(/new digests alone.*the old key was never pushed$/);
    await rm(join(site.places.handoff, 'disk.key'));
    expect(await said(site, { adminKey })).toMatch(
      /^pushed: the policy with old and new .*, the policy again without the old digests; then the old key is removed$/,
    );
  });
});

describe('a push', () => {
  it('first finishes what the registry has decided, so that the old key never gets to the new path', async () => {
    await using site = await makeSite('production');
    await decide(site);
    expect(await readFile(join(site.places.handoff, 'disk.key'), 'utf8')).toBe(site.oldKey);
    const { signal } = new AbortController();
    await finishReplacements([join(site.folder, 'handoff')], site.directory, signal);
    await expectWhole(site, 'new');
  });

  it('leaves a replacement alone that is still being made', async () => {
    await using site = await makeSite('production');
    const { signal } = new AbortController();
    await finishReplacements([site.places.handoff], site.directory, signal);
    expect(await isDecided(site.places, site.directory)).toBe(false);
    expect(await readFile(join(site.places.nextBundle, 'which'), 'utf8')).toBe('new');
    expect(await stateOf(site)).toBe('old');
  });
});

/** The moving, ended while it overwrites the key that the step after the given number of steps destroys. */
async function stoppedWhileOverwriting({ places, directory }: Site, steps: number): Promise<void> {
  const moving = movingSteps(places, directory);
  for (let step = 0; step < steps; step += 1) await moving.next();
  await using handle = await open(places.handoff, 'r');
  const prototype = Object.getPrototypeOf(handle) as FileHandle;
  const write = prototype.write as (...args: unknown[]) => Promise<unknown>;
  const spy = vi.spyOn(prototype, 'write').mockImplementation(async function (this: unknown, ...args) {
    await write.apply(this, args);
    throw new Error('no power');
  });
  try {
    await expect(moving.next()).rejects.toThrow('no power');
  } finally {
    spy.mockRestore();
  }
}

/**
 * Runs the replacement in a process of its own and kills it at the given change below the site's folder, if it comes to that.
 * Gives how many changes were seen.
 */
async function killedAtEvent(site: Site, kind: string, event: number): Promise<number> {
  const watcher = watch(site.folder, { recursive: true });
  const worker = spawn(process.execPath, [join(import.meta.dirname, 'worker.ts'), site.folder, kind], {
    env: { ...process.env, XDG_STATE_HOME: join(site.folder, 'state') },
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  let seen = 0;
  watcher.on('change', () => {
    seen += 1;
    if (seen === event) worker.kill('SIGKILL');
  });
  watcher.on('error', () => {}); // a folder that has gone is nothing to watch
  await new Promise((resolve) => worker.once('close', resolve));
  watcher.close();
  return seen;
}

import { execFileSync } from 'node:child_process';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { completeBase, completedBase } from '../../src/base/check/complete.ts';
import { inspectBase } from '../../src/base/check/inspect.ts';
import { PrivateCopy } from '../../src/base/check/private-copy.ts';
import type { Base } from '../../src/base/index.ts';
import { type Cache, openCache } from '../../src/graph/cache.ts';
import { sha256File } from '../../src/host/files.ts';
import { UserNamespace } from '../../src/host/namespace.ts';
import { readSquashfsFile } from '../../src/host/squashfs.ts';
import { templatePath } from '../../src/host/template.ts';
import { aptBase } from './apt-base.ts';

const recipe = templatePath('base');
const enter = await readFile(join(recipe, 'enter.sh'), 'utf8');
let folder: string;
let cache: Cache;

/** Why nothing can be run in a namespace here. */
const noNamespaces = await UserNamespace.open().then(
  async (namespace) => namespace[Symbol.asyncDispose](),
  (error: Error) => error.message,
);

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'complete-test-'));
  cache = openCache(join(folder, 'cache'));
});
afterAll(() => rm(folder, { recursive: true }));

/** Every path with its mode and owner, devices left out: they are the guest's own. */
const listing = (image: string) =>
  execFileSync('rdsquashfs', ['--describe', image], { encoding: 'utf8', maxBuffer: 1 << 26 })
    .split('\n')
    .filter((line) => !/^\w+ dev\//.test(line))
    .sort();

const named = async (image: string) => ({
  id: (await sha256File(image)).hex,
  squashfs: image,
  origin: 'test',
});

describe('with a real base', () => {
  let real: Base;
  /** The real base without jose, as its own dpkg takes it out. */
  let lacking: string;

  beforeEach((context) => {
    if (noNamespaces !== undefined) context.skip(noNamespaces);
  });

  beforeAll(async () => {
    if (noNamespaces !== undefined) return;
    real = await aptBase();
    lacking = join(folder, 'lacking.squashfs');
    await using copy = await PrivateCopy.unpack(real.squashfs);
    await copy.runInside(enter, 'dpkg --purge jose', { env: { DEBIAN_FRONTEND: 'noninteractive' } });
    await copy.pack(lacking);
  });

  it('a program of the image sees the copy, and nothing of the host', async () => {
    await using copy = await PrivateCopy.unpack(lacking);
    const script = `
      echo mounts: $(cut -d ' ' -f 5 /proc/self/mountinfo | sort | tr '\\n' ' ')
      echo processes: $(ls /proc | grep -c '^[0-9]')
      echo files: $(ls /proc/self/fd | tr '\\n' ' ')
      ls -d ${folder} 2> /dev/null
      umount -l / 2> /dev/null
      echo $(chroot . sh -c 'cd ../../../..; ls')
      (: < /dev/tty) 2> /dev/null && echo a terminal
      echo 1 2> /dev/null > /proc/sys/kernel/sysrq || echo no kernel setting
      cut -d ' ' -f 5 /proc/self/mountinfo | wc -l`;
    const lines = (await copy.runInside(enter, script, {})).split('\n').map((line) => line.trim());
    const devices = ['full', 'null', 'random', 'urandom', 'zero'].map((name) => `/dev/${name}`).join(' ');
    const top = listing(lacking).flatMap((line) => /^\w+ ([^/ ]+) /.exec(line)?.[1] ?? []);
    expect(lines[0]).toBe(`mounts: / /dev ${devices} /proc /run /tmp`);
    // The shell, and what it calls.
    expect(Number(/^processes: (\d+)$/.exec(lines[1]!)?.[1])).toBeLessThan(8);
    // 3 is the listing's own.
    expect(lines[2]).toBe('files: 0 1 2 3');
    expect(lines[3]!.split(' ')).toEqual([...new Set([...top, 'dev', 'proc', 'run', 'sys', 'tmp'])].sort());
    expect(lines.slice(4)).toEqual(['no kernel setting', '10']);
  });

  it('owners on the host are strangers, and nothing is left of the copy, not even where it was interrupted', async () => {
    await using scope = new AsyncDisposableStack();
    const namespace = scope.use(await UserNamespace.open());
    const map = await namespace.run(['cat', '/proc/self/uid_map']);
    const [, inside, outside, count] = /^\s*(\d+)\s+(\d+)\s+(\d+)$/.exec(map)!.map(Number);
    expect([inside, count]).toEqual([0, 65_536]);
    expect(outside).toBeGreaterThanOrEqual(65_536);
    const place = process.env.TMPDIR ?? '/var/tmp';
    const before = await readdir(place);
    const copy = await PrivateCopy.unpack(lacking);
    expect((await readdir(place)).length).toBe(before.length + 1);
    const interruption = new AbortController();
    const running = copy.runInside(enter, 'sleep 600', { signal: interruption.signal });
    interruption.abort(new Error('interrupted'));
    await expect(running).rejects.toThrow();
    await copy[Symbol.asyncDispose]();
    expect(await readdir(place)).toEqual(before);
  });

  it('packing what was unpacked gives the same files, modes, owners and attributes', async () => {
    const twice = join(folder, 'twice.squashfs');
    const attributed = join(folder, 'attributed.squashfs');
    {
      await using copy = await PrivateCopy.unpack(lacking);
      // cap_net_raw=ep, as setcap writes it (linux/capability.h, vfs_cap_data of version 2).
      const script = `cp /usr/bin/true /usr/bin/ping && perl -e '
        my ($file, $name) = ("/usr/bin/ping", "security.capability");
        my $value = pack("V5", 0x02000001, 1 << 13, 0, 0, 0);
        syscall(188, $file, $name, $value, length $value, 0) == 0 or die $!'`;
      await copy.runInside(enter, script, {});
      await copy.pack(attributed);
    }
    await using copy = await PrivateCopy.unpack(attributed);
    await copy.pack(twice);
    expect(listing(twice)).toEqual(listing(attributed));
    const capability = execFileSync('rdsquashfs', ['--xattr', 'usr/bin/ping', twice], { encoding: 'utf8' });
    expect(capability).toContain('security.capability=0x0100000200200000');
    expect((await sha256File(twice)).hex).toBe((await sha256File(attributed)).hex);
  });

  it('says that it needs a network where the archives cannot be reached', async () => {
    const image = join(folder, 'nowhere.squashfs');
    {
      await using copy = await PrivateCopy.unpack(lacking);
      const sources = '/etc/apt/sources.list /etc/apt/sources.list.d';
      const line = 'deb [trusted=no] http://127.0.0.1:9/debian bookworm main';
      await copy.runInside(enter, `rm -rf ${sources}; echo '${line}' > /etc/apt/sources.list`, {});
      await copy.pack(image);
    }
    await expect(completeBase({ cache, recipe, base: await named(image) })).rejects.toMatchObject({
      message: 'cannot complete the base: its apt sources cannot be read',
      hint: expect.stringContaining('needs a network'),
      details: expect.arrayContaining([expect.stringContaining('127.0.0.1:9')]),
    });
    expect(await completedBase(cache, await named(image))).toBeUndefined();
  });

  it('brings a package back from its own apt sources, and changes nothing else', async (context) => {
    const sources = await readSquashfsFile(real.squashfs, 'etc/apt/sources.list.d/0000sources.list');
    const archive = /https?:\/\/\S+/.exec(sources.toString())?.[0];
    const reachable = await fetch(`${archive}/dists/`).catch(() => undefined);
    if (reachable === undefined) context.skip(`no network: ${archive} cannot be reached`);

    const base = await named(lacking);
    expect((await inspectBase(lacking)).missing).toMatchObject([{ what: '/usr/bin/jose', package: 'jose' }]);
    const said: string[] = [];
    const whole = await completeBase({ cache, recipe, base, progress: (text) => said.push(text) });
    expect(said).toContain('installing jose');
    expect((await inspectBase(whole!.squashfs)).missing).toEqual([]);
    expect(whole).toMatchObject({ origin: 'test, completed with jose', kernelRelease: real.kernelRelease });
    expect(await readFile(whole!.packages, 'utf8')).toMatch(/^jose\t/m);
    // Its own settings of the time are gone: services may start, names are resolved by what the CVM says.
    const [before, after] = [listing(lacking), listing(whole!.squashfs)];
    const lost = before.filter((line) => !after.includes(line));
    const added = after.filter((line) => !before.includes(line));
    expect(lost.filter((line) => !/ var\/(lib|cache|log)\//.test(line))).toEqual([]);
    expect(added.filter((line) => !/jose/.test(line) && !/ var\/(lib|cache|log)\//.test(line))).toEqual([]);
    // The base stays as it is; the completed one is found by it, and nothing is done twice.
    expect((await sha256File(lacking)).hex).toBe(base.id);
    expect(await completedBase(cache, base)).toEqual(whole);
    said.length = 0;
    expect(await completeBase({ cache, recipe, base, progress: (text) => said.push(text) })).toEqual(whole);
    expect(said).toEqual([]);
  });
});

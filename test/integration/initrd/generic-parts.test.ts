import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { lstat, mkdir, mkdtemp, readdir, readFile, readlink, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Base } from '../../../src/base/index.ts';
import { type Cache, openCache } from '../../../src/graph/cache.ts';
import { readSquashfsFile } from '../../../src/host/squashfs.ts';
import { readList } from '../../../src/initrd/collect.ts';
import { cachedGenericParts, makeGenericParts } from '../../../src/initrd/index.ts';
import { seedCache } from '../build/real-base.ts';

let folder: string;
let base: Base;
let cache: Cache;
/** Unpacked: what every initrd has, then the client of each kind. */
let system: string;
let development: string;
let production: string;
let parts: string[];

const development_ = { kind: 'development' } as const;
const sha256 = async (file: string) =>
  createHash('sha256')
    .update(await readFile(file))
    .digest('hex');

async function unpack(archive: string, name: string): Promise<string> {
  const tree = join(folder, name);
  await mkdir(tree);
  execFileSync('sh', ['-c', 'cd "$2" && zstd -dc "$1" | cpio -i --quiet', 'sh', archive, tree]);
  return tree;
}

/** A program of the base's own, as the user's kbs-client would be: dynamically linked. */
async function clients(program = 'usr/bin/curl') {
  const file = join(folder, `client-${basename(program)}`);
  await writeFile(file, await readSquashfsFile(base.squashfs, program, { limit: 1 << 26 }));
  return {
    kind: 'production' as const,
    programs: [{ name: 'kbs-client', file, sha256: await sha256(file) }],
  };
}

/** Paths below a tree; links are not followed. */
const names = async (tree: string) =>
  execFileSync('find', ['.', '-mindepth', '1', '-printf', '%P\\n'], { cwd: tree, encoding: 'utf8' })
    .trimEnd()
    .split('\n')
    .sort();
const programNames = async (tree: string) =>
  (await readdir(join(tree, 'usr/bin'))).concat(await readdir(join(tree, 'usr/sbin')).catch(() => []));

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'generic-parts-test-'));
  base = await seedCache(join(folder, 'cache'));
  cache = openCache(join(folder, 'cache'));
  expect(await cachedGenericParts({ cache, base, client: development_ })).toBeUndefined();
  parts = await makeGenericParts({ cache, base, client: development_ });
  const [, clientsPart] = await makeGenericParts({ cache, base, client: await clients() });
  system = await unpack(parts[0]!, 'system');
  development = await unpack(parts[1]!, 'development');
  production = await unpack(clientsPart!, 'production');
});
afterAll(() => rm(folder, { recursive: true, force: true }));

describe('the generic parts', () => {
  it('are two archives: the system, which all initrds share, and the client', async () => {
    expect(parts).toHaveLength(2);
    const [shared] = await makeGenericParts({ cache, base, client: await clients() });
    expect(shared).toBe(parts[0]);
    expect(await cachedGenericParts({ cache, base, client: development_ })).toEqual(parts);
  });

  it('have a sample client in the development part and in no other', async () => {
    expect(await programNames(development)).toContain('kbs-sample-client');
    for (const tree of [system, production])
      expect((await names(tree)).filter((name) => /sample|^curl$|jose/.test(basename(name)))).toEqual([]);
    expect(await programNames(production)).toContain('kbs-client');
    for (const tree of [system, development]) expect(await programNames(tree)).not.toContain('kbs-client');
  });

  it('hold InitApp, executable, every program and every applet of the lists', async () => {
    expect((await lstat(join(system, 'init'))).mode & 0o777).toBe(0o755);
    for (const path of await readList('programs.txt')) {
      const at = path.replace(/^\/(lib|bin|sbin)\//, '/usr/$1/');
      await expect(lstat(join(system, at)), path).resolves.toBeDefined();
    }
    for (const applet of (await readList('applets.txt')).flatMap((line) => line.split(/\s+/)))
      expect(await readlink(join(system, 'usr/bin', applet)), applet).toBe('busybox');
    for (const name of ['dhcp', 'drives', 'key', 'log', 'network', 'sealed', 'user-config', 'vault'])
      expect((await lstat(join(system, 'usr/lib/cvm', `${name}.sh`))).mode & 0o777).toBe(0o755);
  });

  it('hold the modules that InitApp loads, byte for byte as the distribution signed them', async () => {
    const found = (await names(system)).filter((name) => /\.ko(\.xz|\.zst)?$/.test(name));
    const builtin = await readFile(
      join(system, `usr/lib/modules/${base.kernelRelease}/modules.builtin`),
      'utf8',
    );
    const present = new Set(
      [...found, ...builtin.split('\n')].map((path) =>
        basename(path)
          .replace(/\.ko.*/, '')
          .replaceAll('-', '_'),
      ),
    );
    expect((await readList('modules.txt')).filter((name) => !present.has(name))).toEqual([]);
    expect(found.length).toBeGreaterThan(10);
    for (const name of found.filter((path) => /dm-crypt|sev-guest|dm-verity/.test(path))) {
      const original = execFileSync('rdsquashfs', ['--cat', name, base.squashfs], { maxBuffer: 1 << 26 });
      expect((await readFile(join(system, name))).equals(original), name).toBe(true);
    }
  });

  it('hold every library that their programs ask for, and a loader', async () => {
    const trees = { development: [system, development], production: [system, production] };
    for (const [kind, list] of Object.entries(trees)) {
      const all = (await Promise.all(list.map(names))).flat();
      const there = new Set(all.map((name) => basename(name)));
      const missing: string[] = [];
      let looked = 0;
      for (const tree of list) {
        for (const name of await names(tree)) {
          const path = join(tree, name);
          if (!(await lstat(path)).isFile() || !/^(usr|lib)/.test(name) || name.endsWith('.ko')) continue;
          const magic = (await readFile(path)).subarray(0, 4).toString('latin1');
          if (magic !== '\u007fELF') continue;
          looked++;
          const text = execFileSync('readelf', ['-d', '-l', path], { encoding: 'utf8' });
          for (const [, library] of text.matchAll(/\(NEEDED\).*\[(.*)\]/g))
            if (!there.has(library!)) missing.push(`${name}: ${library}`);
          const loader = /interpreter: (.*)\]/.exec(text)?.[1];
          if (loader !== undefined && !there.has(basename(loader))) missing.push(`${name}: ${loader}`);
        }
      }
      expect(missing, kind).toEqual([]);
      expect(looked).toBeGreaterThan(20);
    }
  });

  it('hold no key, no certificates but the ones pinned later, no set-id program and no device', async () => {
    for (const tree of [system, development, production]) {
      const all = await names(tree);
      // T20: only the pinned certificate is trusted.
      expect(all.filter((name) => /ca-certificates|\.pem$|\.crt$|etc\/ssl\/certs/.test(name))).toEqual([]);
      for (const name of all) {
        const found = await lstat(join(tree, name));
        expect(found.isFile() || found.isDirectory() || found.isSymbolicLink(), name).toBe(true);
        expect(found.mode & 0o7000, name).toBe(0);
      }
    }
  });

  it('are the same bytes when they are made again from the same base', async () => {
    const again = openCache(join(folder, 'again'));
    const before = process.umask(0o077);
    const made = await makeGenericParts({ cache: again, base, client: development_ }).finally(() =>
      process.umask(before),
    );
    expect(made[0]).not.toBe(parts[0]);
    for (const [index, part] of made.entries()) expect(await sha256(part)).toBe(await sha256(parts[index]!));
  });
});

describe('a client that cannot work', () => {
  it('is refused where the base lacks a library it needs', async () => {
    const file = join(folder, 'broken-client');
    const bytes = await readSquashfsFile(base.squashfs, 'usr/bin/curl', { limit: 1 << 26 });
    const at = bytes.indexOf('libcurl.so.4\0');
    bytes.write('libnone.so.9', at);
    await writeFile(file, bytes);
    const client = {
      kind: 'production' as const,
      programs: [{ name: 'kbs-client', file, sha256: await sha256(file) }],
    };
    await expect(makeGenericParts({ cache, base, client })).rejects.toMatchObject({
      name: 'UserError',
      message: expect.stringContaining('kbs-client'),
    });
    expect(await cachedGenericParts({ cache, base, client })).toBeUndefined();
  });
});

import { execFileSync } from 'node:child_process';
import { mkdtempSync } from 'node:fs';
import { mkdir, readdir, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll } from 'vitest';
import { type ImportBaseOptions, importBase } from '../../../../src/base/import/import.ts';
import type { Base } from '../../../../src/base/index.ts';
import { openCache } from '../../../../src/graph/cache.ts';
import { realBase } from '../../build/real-base.ts';

/**
 * Runs a script as root would: owners and device nodes are fakeroot's, so that an ordinary account can run these tests.
 * @returns what it prints
 */
export function asRoot(script: string, ...args: string[]): string {
  return execFileSync('fakeroot', ['sh', '-euc', script, 'sh', ...args], {
    encoding: 'utf8',
    env: { ...process.env, PATH: `${process.env.PATH}:/usr/sbin:/sbin` },
    stdio: ['ignore', 'pipe', 'pipe'],
    maxBuffer: 1 << 26,
  });
}

/** A folder for a test file, gone at its end. */
export function workFolder(): { path: string } {
  const folder = { path: '' };
  beforeAll(() => {
    folder.path = mkdtempSync(join(tmpdir(), 'import-test-'));
  });
  afterAll(() => rm(folder.path, { recursive: true, force: true }));
  return folder;
}

/** Release of the newest kernel of {@link makeSystem}. */
export const release = '6.8.0-45-generic';

/** What a running installation leaves behind, and what an import must leave out or empty. */
export const leavings: Readonly<Record<string, string>> = {
  'etc/fstab': 'UUID=0 / ext4 defaults 0 1\n',
  'etc/crypttab': 'swap /dev/sda9\n',
  'etc/machine-id': '0123456789abcdef0123456789abcdef\n',
  'etc/hostname': 'builder\n',
  'etc/ssh/ssh_host_ed25519_key': 'a secret of this machine',
  'var/log/apt/history.log': 'an old line\n',
  'var/cache/apt/pkgcache.bin': 'of yesterday',
  'var/lib/systemd/random-seed': 'seed',
  'var/lib/cloud/instance/user-data.txt': 'password: planted\n',
  'swap.img': 'memory',
};

/**
 * A small system in a folder: what tells that it is one, and the real base's kernel with its modules, so that what depmod and
 * the check of the kernel see is real.
 */
export async function makeSystem(
  folder: string,
  files: Readonly<Record<string, string>> = {},
): Promise<string> {
  const base = await realBase();
  await mkdir(folder, { recursive: true });
  const paths = ['boot', 'usr/lib/modules', 'usr/bin/busybox'];
  const script = 'sqfs2tar "$1" | { image=$1; shift; tar -x --no-same-owner -C "$@"; }';
  execFileSync('sh', ['-c', script, 'sh', base.squashfs, folder, ...paths]);
  await rename(join(folder, 'boot/vmlinuz'), join(folder, `boot/vmlinuz-${release}`));
  await rename(join(folder, 'boot/config'), join(folder, `boot/config-${release}`));
  await rename(join(folder, 'usr/lib/modules', base.kernelRelease), join(folder, 'usr/lib/modules', release));
  const own: Record<string, string> = {
    ...leavings,
    'etc/os-release': 'ID=ubuntu\nVERSION_ID="24.04"\n',
    'etc/passwd': 'root:x:0:0:root:/root:/bin/sh\n',
    'usr/bin/hello': '#!/bin/sh\necho hello\n',
    [`boot/initrd.img-${release}`]: 'the initrd of the distribution',
    [`usr/lib/modules/${release}/kernel/drivers/unwanted.ko`]: 'no module at all',
    'var/lib/dpkg/status': [
      'Package: systemd\nStatus: install ok installed\nVersion: 255.4-1ubuntu8\n',
      'Package: gone\nStatus: deinstall ok config-files\nVersion: 1\n',
      'Package: bash\nStatus: hold ok installed\nVersion: 5.2.21-2ubuntu4\nDescription: a\n Version: 9\n',
    ].join('\n'),
    ...files,
  };
  for (const [name, text] of Object.entries(own)) {
    await mkdir(dirname(join(folder, name)), { recursive: true });
    await writeFile(join(folder, name), text);
  }
  return folder;
}

/** What an import said, beside its result. */
export interface Imported {
  base: Base;
  fromCache: boolean;
  notes: string[];
  warnings: string[];
}

/** Imports into a cache below `folder`. */
export async function importInto(
  folder: string,
  options: Omit<ImportBaseOptions, 'cache'>,
): Promise<Imported> {
  const notes: string[] = [];
  const warnings: string[] = [];
  const said = { note: (text: string) => notes.push(text), warn: (text: string) => warnings.push(text) };
  const imported = await importBase({ ...options, ...said, cache: openCache(join(folder, 'cache')) });
  return { ...imported, notes, warnings };
}

/** Every entry of a squashfs as GNU tar lists it: `-rw-r--r-- 0/0 size date name`, by name. */
export function listing(image: string): Map<string, string> {
  const text = execFileSync(
    'sh',
    ['-c', 'sqfs2tar "$1" | tar -tv --numeric-owner --quoting-style=escape', 'sh', image],
    {
      encoding: 'utf8',
      env: { ...process.env, TZ: 'UTC', LC_ALL: 'C' },
      maxBuffer: 1 << 26,
    },
  );
  const lines = text.split('\n').flatMap((line): [string, string][] => {
    const match = /^(\S+ \S+ +\S+) (\S+ \S+) (.*)$/.exec(line);
    return match === null ? [] : [[match[3]!.replace(/ (?:->|link to) .*$/, '').replace(/\/$/, ''), line]];
  });
  return new Map(lines);
}

/** Unfinished entries of the cache: there must be none. */
export function draftsIn(folder: string): Promise<string[]> {
  return readdir(join(folder, 'cache/.drafts'));
}

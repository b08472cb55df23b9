import { execFileSync } from 'node:child_process';
import { chmod, mkdir, mkdtemp, readFile, rm, symlink, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { joinArchives, packCpio } from '../../../src/initrd/cpio.ts';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'cpio-test-'));
});
afterEach(() => rm(folder, { recursive: true }));

const path = (name: string) => join(folder, name);

/** A small tree, made in another order, under another umask and at another time each time. */
async function tree(name: string, umask: number, reverse: boolean): Promise<string> {
  const before = process.umask(umask);
  try {
    const files = ['etc/b', 'etc/a c', 'etc/Z', 'bin/program', 'ä'];
    await mkdir(path(`${name}/etc`), { recursive: true });
    await mkdir(path(`${name}/bin`));
    for (const file of reverse ? files.reverse() : files) await writeFile(path(`${name}/${file}`), file);
    await chmod(path(`${name}/bin/program`), umask === 0o077 ? 0o4700 : 0o755);
    await symlink('program', path(`${name}/bin/link`));
    if (reverse) await utimes(path(`${name}/etc`), 1_000_000, 1_000_000);
  } finally {
    process.umask(before);
  }
  return path(name);
}

const list = (archive: string, verbose = false) =>
  execFileSync('sh', ['-c', `zstd -dc "$1" | cpio -t --quiet ${verbose ? '-v -n' : ''}`, 'sh', archive], {
    encoding: 'utf8',
    env: { ...process.env, LC_ALL: 'C.UTF-8', TZ: 'UTC' },
  })
    .trim()
    .split('\n');

describe('packCpio', () => {
  it('gives the same bytes whatever umask, order and time the files were made with', async () => {
    await packCpio(await tree('one', 0o022, false), path('one.zst'), 3);
    await packCpio(await tree('two', 0o077, true), path('two.zst'), 3);
    expect((await readFile(path('one.zst'))).equals(await readFile(path('two.zst')))).toBe(true);
  });

  it('lists folders before what is in them, all names sorted', async () => {
    await packCpio(await tree('one', 0o022, true), path('one.zst'), 3);
    expect(list(path('one.zst'))).toEqual([
      ...['bin', 'bin/link', 'bin/program', 'etc', 'etc/Z', 'etc/a c', 'etc/b', 'ä'],
    ]);
  });

  it('gives all to 0:0 at time 0, with modes 0755 and 0644 and nothing set-id', async () => {
    await packCpio(await tree('one', 0o077, false), path('one.zst'), 3);
    for (const line of list(path('one.zst'), true)) {
      expect(line).toMatch(/^(drwxr-xr-x|-rwxr-xr-x|-rw-r--r--|lrwxrwxrwx) +\d+ 0 +0 .* Jan +1 +1970 /);
    }
    expect(list(path('one.zst'), true).filter((line) => line.startsWith('-rwx'))).toHaveLength(1);
  });

  it('is in the one format that the kernel reads', async () => {
    await packCpio(await tree('one', 0o022, false), path('one.zst'), 3);
    const bytes = execFileSync('zstd', ['-dc', path('one.zst')]);
    expect(bytes.subarray(0, 6).toString()).toBe('070701');
    expect(bytes.includes('TRAILER!!!')).toBe(true);
  });

  it('fails where the folder is not there, and when it is told to stop', async () => {
    await expect(packCpio(path('absent'), path('x'), 3)).rejects.toThrow('ENOENT');
    const reason = new Error('stopped');
    await expect(
      packCpio(await tree('one', 0o022, false), path('x'), 3, AbortSignal.abort(reason)),
    ).rejects.toBe(reason);
  });
});

describe('joinArchives', () => {
  it('begins each archive on a boundary of 4 bytes and pads with zeros', async () => {
    await writeFile(path('a'), 'aaaaa');
    await writeFile(path('b'), 'bbbb');
    await writeFile(path('c'), 'c');
    await joinArchives([path('a'), path('b'), path('c')], path('out'));
    expect(await readFile(path('out'), 'latin1')).toBe('aaaaa\0\0\0bbbbc\0\0\0');
  });

  it('keeps every archive whole and readable where it lies', async () => {
    const parts: string[] = [];
    for (const name of ['one', 'two', 'three']) {
      await writeFile(join(await tree(name, 0o022, false), name), name.repeat(name.length));
      parts.push(path(`${name}.zst`));
      await packCpio(path(name), path(`${name}.zst`), 3);
    }
    await joinArchives(parts, path('out'));
    const joined = await readFile(path('out'));
    expect(joined.length % 4).toBe(0);
    let offset = 0;
    for (const [index, name] of ['one', 'two', 'three'].entries()) {
      const part = await readFile(parts[index]!);
      await writeFile(path('cut'), joined.subarray(offset, offset + part.length));
      expect(list(path('cut'))).toContain(name);
      const end = offset + Math.ceil(part.length / 4) * 4;
      expect(joined.subarray(offset + part.length, end).every((byte) => byte === 0)).toBe(true);
      offset = end;
    }
    expect(offset).toBe(joined.length);
  });

  it('fails where a part is missing', async () => {
    await expect(joinArchives([path('absent')], path('out'))).rejects.toThrow('ENOENT');
  });
});

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, readdir, readFile, rm, stat, symlink, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { contentKey, defaultCacheRoot, openCache } from '../../../src/graph/cache.ts';
import { UserError } from '../../../src/host/errors.ts';

let parent: string;
let root: string;
beforeEach(async () => {
  parent = await mkdtemp(join(tmpdir(), 'cache-test-'));
  root = join(parent, 'cache');
});
afterEach(() => rm(parent, { recursive: true, force: true }));

const fill = (text: string) => (folder: string) => writeFile(join(folder, 'data'), text);
const read = (folder: string | undefined) => readFile(join(folder ?? '', 'data'), 'utf8');
const drafts = () => readdir(join(root, '.drafts'));
const mode = async (path: string) => (await stat(path)).mode & 0o777;

describe('an entry', () => {
  it('is made once and found afterwards, in private folders', async () => {
    const cache = openCache(root);
    expect(await cache.lookup('base', 'k')).toBeUndefined();
    const made = await cache.entry('base', 'k', fill('one'));
    expect(made).toBe(join(root, 'base', 'k'));
    expect(await openCache(root).entry('base', 'k', () => Promise.reject(new Error('made twice')))).toBe(
      made,
    );
    expect(await cache.lookup('base', 'k')).toBe(made);
    expect(await cache.lookup('layer', 'k')).toBeUndefined();
    expect(await read(made)).toBe('one');
    expect([await mode(root), await mode(join(root, 'base')), await mode(made)]).toEqual([
      0o700, 0o700, 0o700,
    ]);
    expect(await drafts()).toEqual([]);
  });

  it('is made by one of several concurrent callers', async () => {
    const cache = openCache(root);
    const make = vi.fn(fill('one'));
    const folders = await Promise.all([1, 2, 3].map(() => cache.entry('base', 'k', make)));
    expect(new Set(folders).size).toBe(1);
    expect(make).toHaveBeenCalledTimes(1);
  });

  it('leaves nothing behind where making it fails, and can be made later', async () => {
    const cache = openCache(root);
    const half = async (folder: string) => {
      await fill('half')(folder);
      throw new Error('no space');
    };
    await expect(cache.entry('base', 'k', half)).rejects.toThrow('no space');
    expect(await cache.lookup('base', 'k')).toBeUndefined();
    expect(await drafts()).toEqual([]);
    expect(await read(await cache.entry('base', 'k', fill('whole')))).toBe('whole');
  });

  it('is not visible before it is complete', async () => {
    const cache = openCache(root);
    await cache.entry('base', 'k', async (folder) => {
      await fill('half')(folder);
      expect(await mode(folder)).toBe(0o700);
      expect(await cache.lookup('base', 'k')).toBeUndefined();
      expect(await cache.list()).toEqual([]);
    });
  });

  it('is kept as the winner made it where another process was quicker', async () => {
    const slow = openCache(root);
    const other = openCache(root);
    const folder = await slow.entry('base', 'k', async (mine) => {
      await fill('loser')(mine);
      await other.entry('base', 'k', fill('winner'));
    });
    expect(await read(folder)).toBe('winner');
    expect(await drafts()).toEqual([]);
  });

  it('survives processes that race for it', async () => {
    const module = new URL('../../../src/graph/cache.ts', import.meta.url).href;
    const program = `
      import { writeFile } from 'node:fs/promises';
      import { openCache } from '${module}';
      const cache = openCache(${JSON.stringify(root)});
      for (let key = 0; key < 20; key++) {
        await cache.entry('k', String(key), (folder) => writeFile(folder + '/data', 'x'.repeat(1000)));
      }`;
    const racers = [1, 2, 3].map(() => spawn(process.execPath, ['--input-type=module', '-e', program]));
    const statuses = await Promise.all(racers.map(async (racer) => (await once(racer, 'exit'))[0]));
    expect(statuses).toEqual([0, 0, 0]);
    const entries = await openCache(root).list();
    expect(entries).toHaveLength(20);
    expect(entries.every(({ bytes }) => bytes === 1000)).toBe(true);
    expect(await drafts()).toEqual([]);
  }, 30_000);
});

describe('a draft', () => {
  it('becomes an entry under a key that was found while filling it', async () => {
    const cache = openCache(root);
    await using draft = await cache.draft();
    await fill('streamed')(draft.folder);
    const folder = await draft.commit('layer', contentKey('streamed'));
    expect(await cache.lookup('layer', contentKey('streamed'))).toBe(folder);
    await expect(draft.commit('layer', 'again')).rejects.toThrow('only once');
  });

  it('is dropped where that entry exists, and removed where it is not committed', async () => {
    const cache = openCache(root);
    const first = await cache.entry('layer', 'k', fill('first'));
    {
      await using second = await cache.draft();
      await using given = await cache.draft();
      await fill('second')(second.folder);
      await fill('given up')(given.folder);
      expect(await second.commit('layer', 'k')).toBe(first);
    }
    expect(await read(first)).toBe('first');
    expect(await drafts()).toEqual([]);
  });
});

describe('leftovers of killed builds', () => {
  it('are swept at the first use; drafts in use are not', async () => {
    const module = new URL('../../../src/graph/cache.ts', import.meta.url).href;
    const start = (end: string) =>
      spawn(process.execPath, [
        '--input-type=module',
        '-e',
        `import { openCache } from '${module}';
         const draft = await openCache(${JSON.stringify(root)}).draft();
         console.log(draft.folder); ${end}`,
      ]);
    const killed = start("process.kill(process.pid, 'SIGKILL')");
    const [killedFolder] = await Promise.all([once(killed.stdout, 'data'), once(killed, 'exit')]);
    const alive = start('setInterval(() => {}, 1000)');
    try {
      const [aliveFolder] = await once(alive.stdout, 'data');
      await using mine = await openCache(root).draft();
      await openCache(root).list();
      const left = await drafts();
      expect(left).toHaveLength(2);
      expect(left.map((name) => join(root, '.drafts', name))).toEqual(
        expect.arrayContaining([mine.folder, String(aliveFolder).trim()]),
      );
      expect(left).not.toContain(String(killedFolder).trim().split('/').at(-1));
    } finally {
      alive.kill('SIGKILL');
    }
  }, 30_000);

  it('of another host or container are swept after a day, not before', async () => {
    const foreign = join(root, '.drafts', `0123456789ab-1-${'0'.repeat(16)}`);
    await mkdir(foreign, { recursive: true });
    await openCache(root).list();
    expect(await drafts()).toHaveLength(1);
    const old = new Date(Date.now() - 25 * 60 * 60 * 1000);
    await utimes(foreign, old, old);
    await openCache(root).list();
    expect(await drafts()).toEqual([]);
  });
});

describe('the list', () => {
  it('gives kind, key, size and last use, least recently used first; a look-up counts as use', async () => {
    const cache = openCache(root);
    const a = await cache.entry('base', 'a', async (folder) => {
      await mkdir(join(folder, 'sub'));
      await writeFile(join(folder, 'sub', 'file'), Buffer.alloc(100));
      await writeFile(join(folder, 'file'), Buffer.alloc(23));
    });
    const b = await cache.entry('layer', 'b', fill('x'));
    const past = new Date('2020-01-01T00:00:00Z');
    await utimes(a, past, past);
    await utimes(b, new Date('2021-01-01T00:00:00Z'), new Date('2021-01-01T00:00:00Z'));
    expect((await cache.list()).map(({ kind, key, bytes }) => [kind, key, bytes])).toEqual([
      ['base', 'a', 123],
      ['layer', 'b', 1],
    ]);
    await cache.lookup('base', 'a');
    const list = await cache.list();
    expect(list.map(({ key }) => key)).toEqual(['b', 'a']);
    expect(Date.now() - list[1]!.lastUsed.getTime()).toBeLessThan(60_000);
  });

  it('no longer has what was removed; removing what is absent is no error', async () => {
    const cache = openCache(root);
    await cache.entry('base', 'a', fill('x'));
    await cache.remove('base', 'a');
    await cache.remove('base', 'a');
    expect(await cache.list()).toEqual([]);
    expect(await cache.lookup('base', 'a')).toBeUndefined();
    expect(await drafts()).toEqual([]);
  });
});

describe('the root', () => {
  it('is closed to others where it was open', async () => {
    await mkdir(root, { mode: 0o777 });
    await openCache(root).list();
    expect(await mode(root)).toBe(0o700);
  });

  it('may be a link to a folder elsewhere', async () => {
    await mkdir(join(parent, 'disk'));
    await symlink(join(parent, 'disk'), root);
    const folder = await openCache(root).entry('base', 'k', fill('x'));
    expect(await read(folder)).toBe('x');
  });

  it('is refused as a user error where it cannot be a folder', async () => {
    await writeFile(root, '');
    await expect(openCache(root).list()).rejects.toThrow(UserError);
    await expect(openCache(root).lookup('base', 'k')).rejects.toThrow(`cannot use the cache folder ${root}`);
  });

  it('is refused where somebody else owns it', async () => {
    await mkdir(root);
    vi.spyOn(process, 'getuid').mockReturnValue(54321);
    try {
      await expect(openCache(root).list()).rejects.toThrow('belongs to another user');
    } finally {
      vi.restoreAllMocks();
    }
  });

  it('lies below XDG_CACHE_HOME, else below ~/.cache', () => {
    try {
      vi.stubEnv('XDG_CACHE_HOME', '/var/cache/me');
      expect(defaultCacheRoot()).toBe('/var/cache/me/cvm-builder');
      vi.stubEnv('HOME', '/home/me');
      for (const unusable of ['', 'relative/path']) {
        vi.stubEnv('XDG_CACHE_HOME', unusable);
        expect(defaultCacheRoot()).toBe('/home/me/.cache/cvm-builder');
      }
    } finally {
      vi.unstubAllEnvs();
    }
  });
});

it.each([
  '',
  '.',
  '..',
  '../up',
  'a/b',
  '.drafts',
  '-x',
  'a b',
  'a\0',
  'x'.repeat(300),
])('refuses %j as a kind or a key', async (name) => {
  const cache = openCache(root);
  await expect(cache.lookup(name, 'k')).rejects.toThrow('not a name');
  await expect(cache.entry('base', name, fill('x'))).rejects.toThrow('not a name');
  await expect(cache.remove('base', name)).rejects.toThrow('not a name');
  await using draft = await cache.draft();
  await expect(draft.commit('base', name)).rejects.toThrow('not a name');
});

describe('a content key', () => {
  it('is a SHA-256 that tells apart where one part ends and the next begins', () => {
    expect(contentKey('ab', 'c')).toMatch(/^[0-9a-f]{64}$/);
    const keys = [['ab', 'c'], ['a', 'bc'], ['abc'], ['abc', ''], ['', 'abc'], [], ['']].map((parts) =>
      contentKey(...parts),
    );
    expect(new Set(keys).size).toBe(keys.length);
  });

  it('has the documented form', () => {
    // printf '\0\0\0\0\0\0\0\2ab\0\0\0\0\0\0\0\1c' | sha256sum
    expect(contentKey('ab', 'c')).toBe('601d5476e2ccfe2c87a2bba7a322659734a05749d5b5aa781f513e4912db0d5f');
  });

  it('takes text as its UTF-8 bytes', () => {
    expect(contentKey('ü', new Uint8Array([1]))).toBe(contentKey(Buffer.from('ü'), '\x01'));
  });
});

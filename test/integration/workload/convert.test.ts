import { execFileSync } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import { archiveOf, Bench, catSquashfs, describeSquashfs, layerOf, sha256, xattrsOf } from './images.ts';

async function converted(bench: Bench, layer: Buffer): Promise<string> {
  return (await bench.import(archiveOf([layer]))).layers[0]!.squashfs;
}

describe('a layer as squashfs', () => {
  it('keeps modes, owners, times, links, capabilities and user attributes', async () => {
    await using bench = await Bench.make();
    const capability = Buffer.from('010000028020800000000000000000000000000a', 'hex');
    const squashfs = await converted(
      bench,
      layerOf(
        ['./', { type: 'directory', mode: 0o711 }],
        ['usr/bin/su', { body: 'su', mode: 0o4755, xattrs: new Map([['security.capability', capability]]) }],
        ['usr/bin/again', { type: 'hard link', linkName: 'usr/bin/su' }],
        ['usr/bin/sym', { type: 'symlink', linkName: '../../../etc/shadow', mode: 0o777 }],
        ['big', { uid: 3_000_000_000, gid: 3_000_000_001, body: Buffer.alloc(700_000, 'x') }],
        ['note', { xattrs: new Map([['user.a', Buffer.from('line\n')]]) }],
        ['n'.repeat(255), {}],
        [Buffer.from('ünïcode').toString('latin1'), {}],
        ['pipe', { type: 'fifo' }],
        ['usr', { type: 'directory', mode: 0o1777, uid: 7, gid: 8 }],
      ),
    );
    const lines = describeSquashfs(squashfs);
    expect(lines).toContain('dir usr 01777 7 8');
    expect(lines).toContain('dir usr/bin 0755 0 0');
    expect(lines).toContain('file usr/bin/su 04755 0 0');
    expect(lines).toContain('file usr/bin/again 04755 0 0');
    expect(lines).toContain('slink usr/bin/sym 0777 0 0 ../../../etc/shadow');
    expect(lines).toContain('file big 0644 3000000000 3000000001');
    expect(lines).toContain(`file ${'n'.repeat(255)} 0644 0 0`);
    expect(lines).toContain('file ünïcode 0644 0 0');
    expect(lines).toContain('pipe pipe 0644 0 0');
    expect(xattrsOf(squashfs, 'usr/bin/su')).toEqual([
      `security.capability=0x${capability.toString('hex').toUpperCase()}`,
    ]);
    expect(xattrsOf(squashfs, 'note')).toEqual(['user.a=line']);
    expect(sha256(catSquashfs(squashfs, 'big'))).toBe(sha256(Buffer.alloc(700_000, 'x')));
    const stat = execFileSync('rdsquashfs', ['--stat', 'usr/bin/again', squashfs], { encoding: 'utf8' });
    expect(stat).toContain('(1600000000)');
    expect(stat).toContain('Hard link count: 2');
  });

  it('is the same, byte for byte, whenever and with however many jobs it is made', async () => {
    await using one = await Bench.make();
    await using two = await Bench.make();
    const layer = layerOf(
      ...Array.from(
        { length: 300 },
        (_, i) => [`d${i % 7}/f${i}`, { body: String(i).repeat(3000) }] as const,
      ).map(([a, b]) => [a, b] as [string, object]),
    );
    const first = await readFile(await converted(one, layer));
    expect(sha256(await readFile(await converted(two, layer)))).toBe(sha256(first));
    const tar = execFileSync('sqfs2tar', [await converted(one, layer)], { maxBuffer: 1e9 });
    const jobs = ['1', '2', '5'].map((count) => {
      const out = one.path(`jobs-${count}`);
      execFileSync(
        'tar2sqfs',
        ['-q', '-f', '-s', '-c', 'zstd', '-X', 'level=3', '-j', count, '-d', 'mtime=0', out],
        { input: tar },
      );
      return readFile(out).then(sha256);
    });
    expect(new Set(await Promise.all(jobs)).size).toBe(1);
  });

  it('marks whiteouts and opaque folders for overlayfs, with the folders’ own attributes', async () => {
    await using bench = await Bench.make();
    const squashfs = await converted(
      bench,
      layerOf(
        ['early/.wh..wh..opq'],
        [
          'early/',
          {
            type: 'directory',
            mode: 0o2750,
            uid: 3,
            gid: 4,
            xattrs: new Map([['user.k', Buffer.from('v')]]),
          },
        ],
        ['late/', { type: 'directory', mode: 0o700 }],
        ['late/new', { body: 'new' }],
        ['late/.wh..wh..opq'],
        ['absent/.wh..wh..opq'],
        ['etc/.wh.gone'],
        ['.wh..wh.aufs'],
      ),
    );
    expect(describeSquashfs(squashfs)).toEqual([
      'dir absent 0755 0 0',
      'dir early 02750 3 4',
      'dir etc 0755 0 0',
      'nod etc/gone 00 0 0 c 0 0',
      'dir late 0700 0 0',
      'file late/new 0644 0 0',
    ]);
    expect(xattrsOf(squashfs, 'early').sort()).toEqual(['trusted.overlay.opaque=y', 'user.k=v']);
    expect(xattrsOf(squashfs, 'late')).toEqual(['trusted.overlay.opaque=y']);
    expect(xattrsOf(squashfs, 'absent')).toEqual(['trusted.overlay.opaque=y']);
    expect(xattrsOf(squashfs, 'etc')).toEqual([]);
  });

  it('has the last of entries with one name', async () => {
    await using bench = await Bench.make();
    const squashfs = await converted(
      bench,
      layerOf(
        ['a', { body: 'old', mode: 0o600 }],
        ['b', { body: 'b' }],
        ['a', { body: 'newer' }],
        ['b', { type: 'symlink', linkName: 'a' }],
      ),
    );
    expect(describeSquashfs(squashfs)).toEqual(['file a 0644 0 0', 'slink b 0777 0 0 a']);
    expect(catSquashfs(squashfs, 'a')).toBe('newer');
  });

  it.each([
    '--format=gnu',
    '--format=posix --sparse-version=0.0',
    '--format=posix --sparse-version=0.1',
    '--format=posix --sparse-version=1.0',
  ])('fills the holes of GNU tar %s', async (format) => {
    await using bench = await Bench.make();
    execFileSync(
      'sh',
      [
        '-c',
        `mkdir d && printf start >d/f && truncate -s 3M d/f && printf end >>d/f && truncate -s 4M d/f && tar -S ${format} -cf l.tar d`,
      ],
      { cwd: bench.folder },
    );
    const layer = await readFile(bench.path('l.tar'));
    expect(layer.length).toBeLessThan(1_000_000);
    const squashfs = await converted(bench, layer);
    expect(sha256(execFileSync('rdsquashfs', ['--cat', 'd/f', squashfs], { maxBuffer: 1e8 }))).toBe(
      sha256(await readFile(bench.path('d/f'))),
    );
  });

  it('leaves out devices and overlay attributes, says so, and says so again from the cache', async () => {
    await using bench = await Bench.make();
    const layer = layerOf(
      ['dev/sda', { type: 'block device', deviceMajor: 8 }],
      ['etc/passwd', { type: 'character device' }],
      ['d/', { type: 'directory', xattrs: new Map([['trusted.overlay.opaque', Buffer.from('y')]]) }],
    );
    const squashfs = await converted(bench, layer);
    expect(describeSquashfs(squashfs).map((line) => line.split(' ').slice(0, 2).join(' '))).toEqual([
      'dir d',
    ]);
    expect(xattrsOf(squashfs, 'd')).toEqual([]);
    const warnings = [
      'left out dev/sda: a block device',
      'left out etc/passwd: a character device',
      'stripped trusted.overlay.opaque from d',
    ];
    expect(bench.warnings).toEqual(warnings);
    expect((await bench.import(bench.path('archive'))).fromCache).toBe(true);
    expect(bench.warnings).toEqual([...warnings, ...warnings]);
  });

  it('is not mistaken for a compressed stream by the name of its first entry', async () => {
    await using bench = await Bench.make();
    const squashfs = await converted(
      bench,
      layerOf(['\x1f\x8bname', { body: 'x' }], ['\xfd7zXZ', { body: 'y' }]),
    );
    expect(describeSquashfs(squashfs)).toHaveLength(2);
  });

  it.each([
    [
      'a name that climbs',
      layerOf(['../../etc/cron.d/x', { body: 'x' }]),
      'cannot convert layer entry ../../etc/cron.d/x',
    ],
    [
      'a file below a link',
      layerOf(['a', { type: 'symlink', linkName: '/' }], ['a/b', { body: 'x' }]),
      'a is not a folder',
    ],
    [
      'a link to nowhere',
      layerOf(['a', { type: 'hard link', linkName: '/etc/shadow' }]),
      'which is not in the same layer',
    ],
  ])('is refused with %s, and the cache stays empty', async (_, layer, message) => {
    await using bench = await Bench.make();
    await expect(bench.import(archiveOf([layerOf(['ok']), layer]))).rejects.toThrow(message);
    expect(await bench.leftovers()).toEqual([]);
  });
});

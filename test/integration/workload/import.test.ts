import { execFileSync } from 'node:child_process';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import { describe, expect, it } from 'vitest';
import { UserError } from '../../../src/host/errors.ts';
import { importArchive } from '../../../src/workload/index.ts';
import { archiveOf, Bench, describeSquashfs, gzip, layerOf, sha256, zstd } from './images.ts';

const quickstart = resolve(import.meta.dirname, '../../../examples/quickstart');
const passwd = (body: string) => layerOf(['etc/passwd', { body }], ['etc/group', { body: 'g:x:1:\n' }]);
const base = passwd('root:x:0:0::/root:/bin/sh\n');

describe('importArchive', () => {
  it('imports the quickstart archive, which is made the same each time', async () => {
    await using bench = await Bench.make();
    for (const name of ['a.tar.gz', 'b.tar.gz'])
      execFileSync(`${quickstart}/make-archive.sh`, [bench.path(name)]);
    expect(sha256(await readFile(bench.path('a.tar.gz')))).toBe(
      sha256(await readFile(bench.path('b.tar.gz'))),
    );
    const workload = await bench.import(bench.path('a.tar.gz'));
    expect(workload).toMatchObject({
      reference: 'cvm-quickstart:latest',
      fromCache: false,
      accounts: { group: 'root:x:0:\n' },
    });
    expect(describeSquashfs(workload.layers[0]!.squashfs)).toContain('file bin/busybox 0755 0 0');
    expect(describeSquashfs(workload.layers[1]!.squashfs)).toContain('file app/workload.sh 0755 0 0');
    expect(bench.warnings).toEqual([]);
  });

  it('gives the same layers whatever tool wrote the archive and however it is compressed', async () => {
    await using bench = await Bench.make();
    const archive = archiveOf([base, layerOf(['x', { body: 'x' }])]);
    const expected = (await bench.import(archive)).layers;
    await writeFile(bench.path('in.tar'), archive);
    const source = `docker-archive:${bench.path('in.tar')}`;
    const skopeo = (...args: string[]) =>
      execFileSync('skopeo', ['copy', '--quiet', '--insecure-policy', ...args], { cwd: bench.folder });
    skopeo(source, 'docker-archive:docker.tar:repo/name:tag');
    skopeo(source, 'oci-archive:oci.tar:tag');
    skopeo('--dest-compress-format', 'zstd', source, 'oci:layout:tag');
    execFileSync('tar', ['-C', 'layout', '-cf', 'zstd-layout.tar', '.'], { cwd: bench.folder });
    for (const name of ['docker.tar', 'oci.tar', 'zstd-layout.tar']) {
      const data = await readFile(bench.path(name));
      for (const packed of [
        data,
        gzip(data),
        zstd(data),
        Buffer.concat([zstd(data.subarray(0, 5000)), zstd(data.subarray(5000))]),
      ]) {
        const workload = await bench.import(packed);
        expect(workload.layers).toEqual(expected);
        expect(workload.reference).toContain('tag');
      }
    }
  });

  it('imports an image that umoci built, whiteout included', async () => {
    await using bench = await Bench.make();
    const script = `
      umoci init --layout image && umoci new --image image:v1
      umoci unpack --rootless --image image:v1 bundle >/dev/null
      mkdir -p bundle/rootfs/etc && echo one >bundle/rootfs/etc/one && echo two >bundle/rootfs/etc/two
      umoci repack --image image:v1 --refresh-bundle bundle >/dev/null
      rm bundle/rootfs/etc/one && touch -d 2001-01-01 bundle/rootfs/etc && umoci repack --image image:v1 bundle >/dev/null
      umoci config --image image:v1 --config.cmd /x --architecture amd64 --os linux
      tar -C image -cf image.tar .`;
    execFileSync('sh', ['-ec', script], { cwd: bench.folder });
    const { layers } = await bench.import(bench.path('image.tar'));
    expect(
      layers.map(({ squashfs }) => describeSquashfs(squashfs).map((line) => line.split(' ', 2).join(' '))),
    ).toEqual([
      ['dir etc', 'file etc/one', 'file etc/two'],
      ['dir etc', 'nod etc/one'],
    ]);
  });

  it('converts nothing twice: neither a known archive nor a known layer', async () => {
    await using bench = await Bench.make();
    const first = await bench.import(archiveOf([base]));
    const made = (await bench.leftovers()).length;
    expect(await bench.import(archiveOf([base]))).toEqual({ ...first, fromCache: true });
    const second = await bench.import(archiveOf([base, layerOf(['new'])]));
    expect(second.fromCache).toBe(false);
    expect(second.layers[0]).toEqual(first.layers[0]);
    // A layer and a record of the archive, each with the digest of its file.
    expect((await bench.leftovers()).length).toBe(made + 4);
  });

  it('converts again when a layer was pruned from the cache', async () => {
    await using bench = await Bench.make();
    const first = await bench.import(archiveOf([base]));
    for (const { kind, key } of await bench.cache.list())
      if (kind === 'layer') await bench.cache.remove(kind, key);
    expect(await bench.import(archiveOf([base]))).toEqual(first);
  });

  it('reads accounts through all layers', async () => {
    await using bench = await Bench.make();
    const upper = passwd('app:x:5:5::/app:/bin/sh\n');
    expect((await bench.import(archiveOf([base, upper]))).accounts.passwd).toContain('app:x:5');
    expect((await bench.import(archiveOf([upper, layerOf(['etc/.wh.passwd'])]))).accounts).toEqual({
      group: 'g:x:1:\n',
    });
    expect((await bench.import(archiveOf([upper, layerOf(['etc/.wh..wh..opq'])]))).accounts).toEqual({});
    expect((await bench.import(archiveOf([upper, layerOf(['.wh.etc'])]))).accounts).toEqual({});
  });

  it('leaves out layers that an opaque root hides, because overlayfs would show them', async () => {
    await using bench = await Bench.make();
    const top = layerOf(['.wh..wh..opq'], ['only', { body: 'x' }]);
    const { layers, accounts } = await bench.import(archiveOf([base, top]));
    expect(layers.map(({ diffId }) => diffId)).toEqual([`sha256:${sha256(top)}`]);
    expect(accounts).toEqual({});
  });

  it('refuses a layer that is not the one its configuration names, and does not cache it under that name', async () => {
    await using bench = await Bench.make();
    const evil = layerOf(['bin/sh', { body: 'evil' }]);
    const claimed = `sha256:${sha256(base)}`;
    const attempt = bench.import(archiveOf([evil], { diffIds: [claimed] }));
    await expect(attempt).rejects.toThrow(`sha256:${sha256(evil)}, its configuration says ${claimed}`);
    expect(await bench.leftovers()).toEqual([]);
    const honest = await bench.import(archiveOf([base]));
    expect(describeSquashfs(honest.layers[0]!.squashfs)).toContain('file etc/passwd 0644 0 0');
  });

  it('stops when it is cancelled, and leaves nothing', async () => {
    await using bench = await Bench.make();
    const archive = bench.path('big.tar');
    await writeFile(archive, archiveOf([layerOf(['big', { body: Buffer.alloc(30_000_000, 'x') }])]));
    const stop = new AbortController();
    const reason = new Error('stop');
    const attempt = importArchive({
      archive,
      cache: bench.cache,
      warn: () => {},
      signal: stop.signal,
      progress: ({ done, total }) => {
        if (total > 31_000_000 * 1.5 && done > total * 0.7) stop.abort(reason);
      },
    });
    await expect(attempt).rejects.toBe(reason);
    expect(await bench.leftovers()).toEqual([]);
  });
});

describe('a damaged archive', () => {
  const good = archiveOf([base, layerOf(['x', { body: Buffer.alloc(100_000, 'x') }])]);
  const truncated = gzip(base).subarray(0, 60);

  it.each<[string, Buffer, string]>([
    ['an empty file', Buffer.alloc(0), 'it is empty'],
    ['an empty gzip', gzip(Buffer.alloc(0)), 'it is empty'],
    ['text', Buffer.from('hello\n'.repeat(200)), 'it is not a tar archive'],
    ['a zip file', Buffer.from('PK\x03\x04rest'), 'it is a zip file'],
    ['a truncated gzip', gzip(good).subarray(0, 400), 'its gzip data is damaged or ends early'],
    ['a truncated zstd', zstd(good).subarray(0, 400), 'its zstd data is damaged or ends early'],
    ['a truncated tar', good.subarray(0, 20_000), 'it ends early'],
    [
      'a flipped header',
      Buffer.concat([good.subarray(0, 512), Buffer.from(good.subarray(512)).fill(0x41, 3000, 9000)]),
      'header checksum',
    ],
    ['a file system', layerOf(['etc/passwd', { body: 'x' }]), 'neither manifest.json nor index.json'],
    ['no layer', archiveOf([base], { omitLayer: 0 }), 'is missing'],
    ['a layer that is no tar', archiveOf([base], { blobs: [Buffer.from('hello')] }), 'is not a tar'],
    [
      'a layer cut in its compression',
      archiveOf([base], { blobs: [truncated] }),
      'its gzip data is damaged or ends early',
    ],
    [
      'an image for another machine',
      archiveOf([base], { config: { architecture: 'arm64' } }),
      'linux/arm64, not linux/amd64',
    ],
    ['a name outside', layerOf(['../x', { body: 'x' }]), 'points outside of it'],
    ['a repeated name', layerOf(['a', { body: 'x' }], ['a', { body: 'y' }]), 'it holds a twice'],
  ])('is refused: %s; the cache stays empty', async (_, data, message) => {
    await using bench = await Bench.make();
    const error: unknown = await bench.import(data).catch((thrown) => thrown);
    expect(error).toBeInstanceOf(UserError);
    expect((error as UserError).message).toContain(message);
    expect((error as UserError).message).toMatch(/^cannot read docker archive /);
    expect((error as UserError).hint).toBeTruthy();
    expect(await bench.leftovers()).toEqual([]);
  });

  it('is refused when it is a folder or absent', async () => {
    await using bench = await Bench.make();
    await mkdir(bench.path('folder'));
    await expect(bench.import(bench.path('folder'))).rejects.toThrow('it is a folder');
    await expect(bench.import(bench.path('none'))).rejects.toThrow('there is no such file');
  });
});

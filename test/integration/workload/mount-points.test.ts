import { describe, expect, it } from 'vitest';
import { runtimeConfig, type Workload } from '../../../src/workload/index.ts';
import { allMountPoints } from '../../../src/workload/runtime/mounts.ts';
import { archiveOf, Bench, type Item, layerOf } from './images.ts';

const folder = (name: string): Item => [`${name}/`, { type: 'directory', mode: 0o755 }];
const link = (name: string, linkName = '/run/cvm/workload/rootfs/proc/sys'): Item => [
  name,
  { type: 'symlink', linkName },
];
const configured = (workload: Workload) =>
  runtimeConfig(workload, { hostname: 'site-1', hostBin: true, gpu: true });

/** The error by which the builder refuses an image of these layers, or undefined where it takes it. */
async function refusal(...layers: Item[][]): Promise<string | undefined> {
  await using bench = await Bench.make();
  const workload = await bench.import(archiveOf(layers.map((items) => layerOf(...items))));
  const refused = errorOf(() => configured(workload));
  // From the cache it is refused alike.
  expect(errorOf(() => configured({ ...workload }))).toBe(refused);
  const again = await bench.import(bench.path('archive'));
  expect(again.fromCache).toBe(true);
  expect(errorOf(() => configured(again))).toBe(refused);
  return refused;
}

function errorOf(act: () => unknown): string | undefined {
  try {
    act();
    return undefined;
  } catch (error) {
    return (error as Error).message;
  }
}

/** Each folder that is mounted over, and each on the way to one. */
const components = [
  ...new Set(
    allMountPoints.flatMap((point) => {
      const parts = point.slice(1).split('/');
      return parts.map((_, index) => parts.slice(0, index + 1).join('/'));
    }),
  ),
];

describe('an image with something else where a folder is mounted over', () => {
  it.each(components)('is refused where /%s is a link, by path and layer', async (path) => {
    const above = path.split('/').slice(0, -1);
    const folders = above.map((_, index) => folder(above.slice(0, index + 1).join('/')));
    expect(await refusal([['x']], [...folders, link(path)])).toBe(
      `cannot run the docker archive: /${path} is a symbolic link in layer 2 of the image, and must be a folder`,
    );
  });

  it('is refused for a file and a pipe alike', async () => {
    expect(await refusal([['applog', { body: 'x' }]])).toMatch('/applog is a file in layer 1');
    expect(await refusal([['vault', { type: 'fifo' }]])).toMatch('/vault is neither file nor folder');
    expect(await refusal([['a'], ['dev', { type: 'hard link', linkName: 'a' }]])).toMatch('/dev is neither');
  });

  it('is refused where an upper layer replaces the folder, and taken where it replaces the link', async () => {
    expect(await refusal([folder('applog')], [link('applog')])).toMatch(
      '/applog is a symbolic link in layer 2',
    );
    expect(await refusal([link('applog')], [['.wh.applog'], folder('applog')])).toBeUndefined();
    expect(await refusal([link('applog')], [['.wh.applog']])).toBeUndefined();
    expect(await refusal([link('applog')], [['.wh..wh..opq'], ['x']])).toBeUndefined();
    // A layer that says nothing of it leaves it as it was.
    expect(await refusal([link('applog')], [['x']], [['y']])).toMatch('layer 1');
  });

  it('is taken with links in the place of the three files of /etc, and elsewhere', async () => {
    const files = ['hosts', 'resolv.conf', 'hostname'].map((name) => link(`etc/${name}`, '../run/x'));
    const elsewhere = [link('app', 'x'), link('applogs', 'x'), link('var', 'x'), link('usr/lib/x', 'y')];
    expect(
      await refusal([folder('etc'), folder('usr'), folder('usr/lib'), ...files, ...elsewhere]),
    ).toBeUndefined();
  });
});

describe('volumes that an image declares', () => {
  const withVolumes = (...paths: string[]) => ({
    config: { config: { Cmd: ['/x'], Volumes: Object.fromEntries(paths.map((path) => [path, {}])) } },
  });

  it('are folders on top of all layers where the image lacks them, below folders as they were', async () => {
    await using bench = await Bench.make();
    const layers = [layerOf(['srv/', { type: 'directory', mode: 0o750, uid: 7, gid: 8 }]), layerOf(['x'])];
    const { layers: made } = await bench.import(archiveOf(layers, withVolumes('/srv/data', '/new/a b')));
    expect(made).toHaveLength(3);
    const { describeSquashfs } = await import('./images.ts');
    expect(describeSquashfs(made[2]!.squashfs).sort()).toEqual([
      'dir "new/a b" 0755 0 0',
      'dir new 0755 0 0',
      'dir srv 0750 7 8',
      'dir srv/data 0755 0 0',
    ]);
  });

  it('change nothing where the image has them, or a link or a file on the way', async () => {
    await using bench = await Bench.make();
    const layer = layerOf(folder('data'), link('link', 'x'), ['file']);
    const options = withVolumes('/data', '/link/below', '/file/below', '/link');
    expect((await bench.import(archiveOf([layer], options))).layers).toHaveLength(1);
  });
});

describe('the number of layers', () => {
  const many = (count: number) => archiveOf(Array.from({ length: count }, (_, i) => layerOf([`${i}`])));

  it('may be 500, as overlayfs has it, and not more', { timeout: 120_000 }, async () => {
    await using bench = await Bench.make();
    expect((await bench.import(many(500))).layers).toHaveLength(500);
    const kept = await bench.leftovers();
    await expect(bench.import(many(501))).rejects.toThrow(
      /it comes to 501 layers, and overlayfs stacks 500 at most/,
    );
    expect(await bench.leftovers()).toEqual(kept);
  });

  it('is counted with the layer that folders are restored by', { timeout: 120_000 }, async () => {
    await using bench = await Bench.make();
    const layers = Array.from({ length: 500 }, (_, i) => layerOf([`${i}`]));
    await expect(
      bench.import(archiveOf(layers, { config: { config: { Cmd: ['/x'], Volumes: { '/v': {} } } } })),
    ).rejects.toThrow('501 layers');
  });
});

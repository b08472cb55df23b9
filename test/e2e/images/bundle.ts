import { chmod, cp, mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { openCache } from '../../../src/graph/cache.ts';
import { tarEnd } from '../../../src/host/tar/write.ts';
import { importArchive, runtimeConfig } from '../../../src/workload/index.ts';
import { capabilitiesFor } from '../../../src/workload/runtime/confinement.ts';
import { attachedFolders, mountsFor } from '../../../src/workload/runtime/mounts.ts';
import { archiveOf, type Item, layerOf } from '../../integration/workload/images.ts';
import type { Built } from '../built.ts';
import { buildWith, copyBuilder } from '../changed-builder.ts';
import { base, type ImageCase } from './base.ts';
import { layerTar } from './layers.ts';

const scripts = import.meta.dirname;
const rootfs = '/run/cvm/workload/rootfs';

/** Where an image of the parity test lies in the one image of the bundle. */
export const prefixOf = ({ name }: ImageCase) => `images/${name}/`;

/** The workload proper of the bundle. */
export const mainConfig = {
  User: 'worker:wheel',
  WorkingDir: '/work',
  Cmd: ['/bin/sh', '/main'],
  Volumes: { '/data/volume': {} },
};

/** Settings of every configuration here. */
const settings = { hostname: 'site-1', hostBin: false, gpu: false };

/** Where containers have something mounted, without leading `/`. */
export const mountPoints: ReadonlySet<string> = new Set(
  [...mountsFor(settings).map(({ destination }) => destination), ...attachedFolders].map((path) =>
    path.slice(1),
  ),
);

async function mainLayer(): Promise<Item[]> {
  return [
    ...base,
    ['main', { body: await readFile(join(scripts, 'main.sh')), mode: 0o755 }],
    ['etc/passwd', { body: 'worker:x:2000:2001::/work:/bin/sh\n' }],
    ['etc/group', { body: 'wheel:x:10:worker\nother:x:11:worker\n' }],
    ['work/', { type: 'directory', mode: 0o750, uid: 2000, gid: 10 }],
    ['tmp/', { type: 'directory', mode: 0o1777 }],
  ];
}

/**
 * One archive of all images: the nth layers of all together are its nth layer, each image in a folder of its own. What a layer
 * says of lower ones, by whiteouts and opaque folders, means the same there.
 */
export async function archiveOfAll(cases: readonly ImageCase[]): Promise<Buffer> {
  const end = tarEnd();
  const depth = Math.max(...cases.map(({ layers }) => layers.length));
  const layers: Buffer[] = [];
  for (let n = 0; n < depth; n++) {
    const tars = cases.flatMap((image) => {
      const layer = image.layers[n];
      return layer === undefined ? [] : [layerTar(layer, prefixOf(image))];
    });
    if (n === 0) tars.push(layerOf(...(await mainLayer())));
    layers.push(Buffer.concat([...tars.map((tar) => tar.subarray(0, tar.length - end.length)), end]));
  }
  return archiveOf(layers, { config: { config: mainConfig } });
}

/**
 * The two runtime configurations of an image: as the builder makes it from the image's own archive, and the same as root with
 * `list.sh` as its program. Only the place of the root file system differs from a bundle of that image alone.
 */
async function configurationsOf(image: ImageCase, work: string): Promise<{ run: string; list: string }> {
  const archive = join(work, `${image.name}.tar`);
  const layers = image.layers.map((layer) => layerTar(layer));
  await writeFile(archive, archiveOf(layers, { config: { config: image.config } }));
  const workload = await importArchive({ archive, cache: openCache(join(work, 'cache')), warn: () => {} });
  const config = runtimeConfig(workload, settings);
  const list = {
    ...config,
    process: {
      ...config.process,
      user: { uid: 0, gid: 0, additionalGids: [] },
      args: ['/bin/sh', '/list'],
      cwd: '/',
      env: ['PATH=/bin'],
      capabilities: capabilitiesFor(0),
    },
  };
  const place = (value: object) =>
    JSON.stringify(value).replaceAll(rootfs, `${rootfs}/${prefixOf(image).replace(/\/$/, '')}`);
  return { run: place(config), list: place(list) };
}

/**
 * Builds a development bundle of all images by a copy of the builder, in which the workload's unit has one more step: it runs
 * the images, before the workload proper.
 * @returns the bundle's folder
 */
export async function buildBundleOf(
  cases: readonly ImageCase[],
  work: string,
  built: Built,
): Promise<string> {
  const builder = await copyBuilder(work);
  const units = join(builder, 'templates/site/units');
  await mkdir(join(units, 'cvm-workload.service.d'), { recursive: true });
  await writeFile(
    join(units, 'cvm-workload.service.d/parity.conf'),
    '[Service]\nExecStartPre=/usr/lib/systemd/system/parity/run-images\nTimeoutStartSec=infinity\n',
  );
  for (const image of cases) {
    const folder = join(units, 'parity', image.name);
    await mkdir(folder, { recursive: true });
    const { run, list } = await configurationsOf(image, work);
    await writeFile(join(folder, 'run.json'), run);
    await writeFile(join(folder, 'list.json'), list);
  }
  await cp(join(scripts, 'run-images.sh'), join(units, 'parity/run-images'));
  await chmod(join(units, 'parity/run-images'), 0o755);

  return buildWith(builder, await archiveOfAll(cases), { work, built });
}

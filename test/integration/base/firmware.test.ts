import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { builtKey } from '../../../src/base/firmware/build.ts';
import { fetchedKey } from '../../../src/base/firmware/fetch.ts';
import { cacheKind } from '../../../src/base/firmware/place.ts';
import { firmwarePlaces, inspectFirmware, localFirmware } from '../../../src/base/index.ts';
import { type Cache, openCache } from '../../../src/graph/cache.ts';
import { firmwareImage } from '../../unit/measure/firmware-image.ts';

let folder: string;
let cache: Cache;
let baseImages: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'firmware-test-'));
  cache = openCache(join(folder, 'cache'));
  baseImages = join(folder, 'base_images');
  await mkdir(baseImages);
});
afterEach(() => rm(folder, { recursive: true }));

async function put(key: string, origin: string): Promise<void> {
  await cache.entry(cacheKind, key, async (entry) => {
    await writeFile(join(entry, 'OVMF.amdsev.fd'), firmwareImage());
    await writeFile(join(entry, 'origin'), origin);
  });
}

it('base_images comes first, then what was built here, then the packages', async () => {
  const from = async () => (await localFirmware({ cache, baseImages }))?.origin;
  await put(fetchedKey(), 'package');
  const places = await firmwarePlaces({ cache, baseImages });
  expect(places.map(({ place }) => place)).toEqual([
    'base_images/OVMF.amdsev.fd',
    'built by `cvm base firmware build`',
    '/usr/share/ovmf/OVMF.amdsev.fd',
    '/usr/share/OVMF/OVMF.amdsev.fd',
    "fetched from Debian's ovmf-amdsev",
  ]);
  expect(places.at(-1)?.found?.origin).toBe('package');
  await put(await builtKey(), 'built');
  expect(await from()).toBe('built');
  await writeFile(join(baseImages, 'OVMF.amdsev.fd'), firmwareImage());
  expect(await from()).toBe('base_images/');
});

it('tells of a file what it is, and that nobody examined it', async () => {
  const file = join(baseImages, 'OVMF.amdsev.fd');
  await writeFile(file, firmwareImage());
  expect(await inspectFirmware({ file, origin: 'base_images/' })).toMatchObject({
    verdict: 'unknown',
    sha256: expect.stringMatching(/^[0-9a-f]{64}$/),
    hashTableAddress: expect.stringMatching(/^0x[0-9a-f]+$/),
    snpSections: expect.any(Number),
  });
});

it('a file that is no firmware is refused by name', async () => {
  const file = join(baseImages, 'OVMF.amdsev.fd');
  await writeFile(file, 'no firmware');
  await expect(inspectFirmware({ file, origin: 'base_images/' })).rejects.toMatchObject({
    name: 'UserError',
    message: expect.stringContaining(file),
  });
});

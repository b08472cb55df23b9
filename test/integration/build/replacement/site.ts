import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { type ReplacementPlaces, replacementPlaces } from '../../../../src/build/rebuild/places.ts';
import { replaceImage } from '../../../../src/build/rebuild/replace-image.ts';
import type { BuildSettings } from '../../../../src/build/settings.ts';
import type { Manifest } from '../../../../src/bundle/index.ts';
import { newDiskKey, Secret } from '../../../../src/host/secret.ts';
import { type ImageRecord, readRegistry, writeHandoff, writePolicy } from '../../../../src/kbs/index.ts';
import { addImage } from '../../../../src/kbs/registry/registry.ts';
import { manifest } from '../../../unit/bundle/fixture.ts';
import { digestOf, imageOf } from '../../../unit/kbs/records.ts';

type Kind = 'production' | 'development';

const id = imageOf(7).id;
export const oldDigest = digestOf('image 7');
export const newDigest = manifest.launch.digests[0]!.hex;

/** The manifest of the image that takes the place of number 7. */
const newManifest = (kind: Kind): Manifest => ({
  ...manifest,
  id,
  name: 'site-7',
  kind,
  kbs: { ...manifest.kbs, resource: `keys/root/${id}.2` },
});

/** An image that is registered and handed over, and one with its id that is made whole beside it: small files in place of drives. */
export interface Site extends AsyncDisposable {
  folder: string;
  directory: string;
  places: ReplacementPlaces;
  oldKey: string;
  newKey: string;
}

export async function makeSite(kind: Kind): Promise<Site> {
  const folder = await mkdtemp(join(tmpdir(), 'replacement-test-'));
  const site = siteIn(folder);
  const { places, directory } = site;
  await mkdir(places.bundle, { recursive: true });
  await writeFile(join(places.bundle, 'which'), 'old');
  await writeFile(join(places.target, 'site-7.tgz'), 'old');
  await mkdir(places.nextBundle, { recursive: true });
  await writeFile(join(places.nextBundle, 'which'), 'new');
  await writeFile(join(places.nextTargetFolder, 'site-7.tgz'), 'new');
  const [oldKey, newKey] = [newDiskKey(), newDiskKey()];
  const old = imageOf(7, { kind });
  const { keyFile } = await writeHandoff(places.handoff, { record: old, key: oldKey });
  await addImage(directory, kind === 'development' ? { ...old, keyFile } : old);
  await writePolicy(directory);
  await writeFile(join(folder, 'new.key'), newKey.reveal());
  const keys = { oldKey: oldKey.reveal().toString(), newKey: newKey.reveal().toString() };
  return { ...site, ...keys, [Symbol.asyncDispose]: () => rm(folder, { recursive: true }) };
}

function siteIn(folder: string): Pick<Site, 'folder' | 'directory' | 'places'> {
  return {
    folder,
    directory: join(folder, 'state/cvm-builder/development'),
    places: replacementPlaces(join(folder, 'handoff'), id),
  };
}

/** What a build's last task does. XDG_STATE_HOME is `<folder>/state`. */
export async function replaceIn(folder: string, kind: Kind, unfinished: string[] = []): Promise<void> {
  const { places, directory } = siteIn(folder);
  const settings = {
    kind,
    project: 'project',
    site: { role: undefined },
    handoffFolder: join(folder, 'handoff'),
    builder: { minTcb: {}, kbs: { push: 'never' }, policyDirectory: directory },
  } as unknown as BuildSettings;
  const key = new Secret(await readFile(join(folder, 'new.key')));
  const report = { signal: new AbortController().signal, note: () => {}, warn: () => {} };
  await replaceImage(settings, newManifest(kind), { places, key, unfinished }, report);
}

export const registered = async ({ directory }: Site): Promise<ImageRecord> => {
  const { images } = (await readRegistry(directory))!;
  if (images.length !== 1) throw new Error(`not one image but ${images.length}`);
  return images[0]!;
};

/** Everything that is to be all old, or all new, in one word; what is neither is said in full. */
export async function stateOf(site: Site): Promise<string> {
  const { places, directory, oldKey } = site;
  const image = await registered(site);
  const word = (isOld: boolean) => (isOld ? 'old' : 'new');
  const read = (file: string) => readFile(file, 'utf8');
  const policy = await read(join(directory, 'policy.rego'));
  const parts = {
    registry: word(image.digests[0]!.hex === oldDigest),
    key: word((await read(join(places.handoff, 'disk.key'))) === oldKey),
    record: word((await read(join(places.handoff, 'record.json'))).includes(oldDigest)),
    policy:
      policy.includes(oldDigest) === policy.includes(newDigest) ? 'mixed' : word(policy.includes(oldDigest)),
    bundle: await read(join(places.bundle, 'which')),
    archive: await read(join(places.target, 'site-7.tgz')),
  };
  const kinds = new Set(Object.values(parts));
  return kinds.size === 1 ? parts.registry : JSON.stringify(parts);
}

/** Files below a folder that hold a text. */
export async function filesWith(folder: string, text: string): Promise<string[]> {
  const found: string[] = [];
  for (const entry of await readdir(folder, { recursive: true, withFileTypes: true })) {
    const file = join(entry.parentPath, entry.name);
    if (entry.isFile() && (await readFile(file, 'latin1')).includes(text)) found.push(file);
  }
  return found.filter((file) => basename(file) !== 'new.key');
}

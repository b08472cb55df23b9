import { existsSync } from 'node:fs';
import { mkdir, readdir, readFile, rename, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { hasCode } from '../../host/errors.ts';
import { writeFileAtomic } from '../../host/files.ts';
import { lockFile } from '../../host/lock.ts';
import { destroyKeyFile, destroyKeyFiles, findKeyFiles, pushTurn } from '../../kbs/client/index.ts';
import {
  handoffFiles,
  type ImageRecord,
  launchDigestsOf,
  readHandoffRecord,
  readRegistry,
  replaceRecord,
} from '../../kbs/index.ts';
import { type ReplacementPlaces, replacementPlaces } from './places.ts';

/**
 * How an image takes the place of another with its id. The new one is made whole beside the old one: bundle and archive in
 * `target/.cvm_<id>.next`, hand-off and key in `handoff/.cvm_<id>.next`. Writing the registry, one file that is replaced by a
 * rename, decides: before it all is as it was, after it the new image counts and what is left is moving it into place. That can
 * be interrupted anywhere and done again: by the next rebuild of the image, or by the next push.
 */

/** Whether the registry has decided for the image that is made beside another. */
export async function isDecided(places: ReplacementPlaces, directory: string): Promise<boolean> {
  if (!existsSync(join(places.nextHandoff, handoffFiles.record))) return false;
  const made = await readHandoffRecord(places.nextHandoff);
  const registered = (await readRegistry(directory))?.images.find(({ id }) => id === places.id);
  return registered?.status === 'active' && sameDigests(registered, made);
}

function sameDigests(one: ImageRecord, other: ImageRecord): boolean {
  const all = (image: ImageRecord) => launchDigestsOf(image).sort().join();
  return all(one) === all(other);
}

/**
 * Moves the new image into the place of the old one, after the registry has decided for it. Each step may be the last one of a
 * process that is killed; all of them done again do no harm.
 * @yields after each step, its name
 */
export async function* movingSteps(places: ReplacementPlaces, directory: string): AsyncGenerator<string> {
  const { handoff, nextHandoff } = places;
  await mkdir(handoff, { recursive: true, mode: 0o700 });
  // What is whole is in its place before any of it is destroyed: what is not is a copy on its way out.
  const { unfinished, doomed } = await findKeyFiles([nextHandoff], places.id);
  for (const file of [...unfinished, ...doomed]) await destroyKeyFile(file);
  const newKey = join(nextHandoff, handoffFiles.key);
  const key = await readFile(newKey).catch((error: unknown) => {
    if (hasCode(error, 'ENOENT')) return undefined;
    throw error;
  });
  if (key !== undefined) {
    try {
      yield* moveKey(places, key);
    } finally {
      key.fill(0);
    }
    await pointToKey(places, directory);
    yield 'the registry names the key in its place';
  }
  for (const name of await namesIn(nextHandoff)) {
    if (name === handoffFiles.key) continue;
    await writeFileAtomic(join(handoff, name), await readFile(join(nextHandoff, name)), 0o600);
  }
  yield 'hand-off in place';
  yield* moveBundle(places);
  if (key !== undefined) await destroyKeyFile(newKey);
  yield 'second copy of the key gone';
  await rm(places.nextTargetFolder, { recursive: true, force: true });
  await rm(places.nextHandoffFolder, { recursive: true, force: true });
}

async function* moveKey({ id, handoff }: ReplacementPlaces, key: Buffer): AsyncGenerator<string> {
  const { whole, unfinished, doomed } = await findKeyFiles([handoff], id);
  for (const file of [...whole, ...unfinished, ...doomed]) {
    const isNew = whole.includes(file) && (await readFile(file)).equals(key);
    if (!isNew) await destroyKeyFile(file);
  }
  yield 'old key gone';
  await writeFileAtomic(join(handoff, handoffFiles.key), key, 0o600);
  yield 'new key in place';
}

/** The development key broker reads the key where the registry says; until here that is the new one's first place. */
async function pointToKey({ id, handoff }: ReplacementPlaces, directory: string): Promise<void> {
  const keyFile = join(handoff, handoffFiles.key);
  await replaceRecord(directory, id, (image) =>
    image.keyFile === undefined || image.keyFile === keyFile ? image : { ...image, keyFile },
  );
}

/** The old bundle is kept: its user_data drive may have been filled. */
async function* moveBundle(places: ReplacementPlaces): AsyncGenerator<string> {
  const { bundle, nextBundle, nextTargetFolder, target } = places;
  if (existsSync(nextBundle)) {
    if (existsSync(bundle)) await rename(bundle, await freeName(bundle));
    yield 'old bundle aside';
    await rename(nextBundle, bundle);
    yield 'new bundle in place';
  }
  for (const name of await namesIn(nextTargetFolder)) {
    if (name.endsWith('.tgz')) await rename(join(nextTargetFolder, name), join(target, name));
  }
  yield 'archive in place';
}

/** `<bundle>.replaced`, `<bundle>.replaced-2`, …: no folder `cvm_<id>` any more, so nothing takes it for a bundle by itself. */
export async function freeName(bundle: string): Promise<string> {
  const plain = `${bundle}.replaced`;
  if (!existsSync(plain)) return plain;
  let number = 2;
  while (existsSync(`${plain}-${number}`)) number += 1;
  return `${plain}-${number}`;
}

async function namesIn(folder: string): Promise<string[]> {
  try {
    return (await readdir(folder)).sort();
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return [];
    throw error;
  }
}

/** {@link movingSteps}, all of them. */
export async function moveIntoPlace(places: ReplacementPlaces, directory: string): Promise<void> {
  for await (const _ of movingSteps(places, directory));
}

/**
 * Ends what an earlier rebuild of the image left: moves the new image into place where the registry has decided for it, else
 * removes it, its key overwritten. The caller holds the lock.
 * @returns what was done, undefined where there was no image
 */
export async function endEarlier(
  places: ReplacementPlaces,
  directory: string,
  signal: AbortSignal = new AbortController().signal,
): Promise<'finished' | 'discarded' | undefined> {
  const begun = existsSync(places.nextHandoffFolder) || existsSync(places.nextTargetFolder);
  if (!begun) return undefined;
  if (await isDecided(places, directory)) {
    await using _turn = await pushTurn(directory, signal);
    await moveIntoPlace(places, directory);
    return 'finished';
  }
  // The last step of moving takes the hand-off's folder away, piece by piece: what is left of that is no image.
  const keys = await destroyKeyFiles([places.nextHandoff], places.id);
  const image = keys.length > 0 || existsSync(places.nextTargetFolder);
  await rm(places.nextTargetFolder, { recursive: true, force: true });
  await rm(places.nextHandoffFolder, { recursive: true, force: true });
  return image ? 'discarded' : undefined;
}

/**
 * Finishes every replacement in these hand-off folders that the registry has decided for: before that, the key in
 * `handoff/cvm_<id>` may be the old one. One that is still being made is left alone.
 * @param keyFolders `handoff/`, or `handoff/cvm_<id>`
 */
export async function finishReplacements(
  keyFolders: readonly string[],
  directory: string,
  signal: AbortSignal,
): Promise<void> {
  const folders = new Set(
    keyFolders.map((folder) => (/^cvm_[0-9a-f]{12}$/.test(basename(folder)) ? dirname(folder) : folder)),
  );
  for (const folder of folders) {
    for (const name of await namesIn(folder)) {
      const id = /^\.cvm_([0-9a-f]{12})\.next$/.exec(name)?.[1];
      if (id === undefined) continue;
      const places = replacementPlaces(folder, id);
      if (!(await isDecided(places, directory))) continue;
      await using _lock = await lockFile(places.lock, { signal });
      await using _turn = await pushTurn(directory, signal);
      if (await isDecided(places, directory)) await moveIntoPlace(places, directory);
    }
  }
}

import { existsSync } from 'node:fs';
import type { Manifest } from '../../bundle/index.ts';
import type { Secret } from '../../host/secret.ts';
import { findKeyFiles, pushTurn } from '../../kbs/client/index.ts';
import { asPrevious, type ImageRecord, replaceRecord, writeHandoff, writePolicy } from '../../kbs/index.ts';
import { imageRecord } from '../hand-over.ts';
import { policyPlace } from '../policy-place.ts';
import { automaticAccess } from '../push.ts';
import type { BuildSettings } from '../settings.ts';
import type { ReplacementPlaces } from './places.ts';
import { freeName, isDecided, moveIntoPlace } from './replacement.ts';

interface Replacing {
  signal: AbortSignal;
  note(text: string): void;
  warn(text: string): void;
}

/**
 * Hands over an image that takes the place of one with its id: the registry's entry is replaced in one step, and the rest
 * follows. See replacement.ts.
 * @param made the new image, and the paths that are removed unless it comes to count
 * @returns path of the policy
 */
export async function replaceImage(
  settings: BuildSettings,
  manifest: Manifest,
  made: { places: ReplacementPlaces; key: Secret; unfinished: string[] },
  { signal, note, warn }: Replacing,
): Promise<string> {
  const { places, key } = made;
  const record = imageRecord(settings, manifest);
  const { directory, policyOptions } = policyPlace(settings.kind, settings, settings.handoffFolder);
  const { keyFile } = await writeHandoff(places.nextHandoff, { record, key });
  const registered = settings.kind === 'development' ? { ...record, keyFile } : record;
  const overlap = await overlaps(settings);
  // A push that is under way took its plan of the old image: the new key must not come under it.
  await using _turn = await pushTurn(directory, signal);
  const oldKeyIsOut = await keyIsOut(settings, record.id);
  // A policy that would be refused is found out before the registry changes.
  await writePolicy(directory, { ...policyOptions, signal });
  // Whatever fails from here on: where the registry has come to name the new image, nothing of it may be removed.
  const removable = made.unfinished.splice(0);
  let before: ImageRecord | undefined;
  const decide = replaceRecord(
    directory,
    record.id,
    (present) => {
      before = present;
      const previous = overlap ? (oldKeyIsOut ? asPrevious(present) : present.previous) : undefined;
      return previous === undefined ? registered : { ...registered, previous };
    },
    { signal },
  );
  const policy = await decide
    .then(() => writePolicy(directory, policyOptions))
    .catch(async (error: unknown) => {
      if (before !== undefined) await putBack(directory, before);
      if (!(await isDecided(places, directory))) made.unfinished.push(...removable);
      throw error;
    });
  policy.warnings.forEach(warn);
  policy.notes.forEach(note);
  const aside = existsSync(places.bundle) ? await freeName(places.bundle) : undefined;
  await moveIntoPlace(places, directory);
  if (aside !== undefined) {
    note(`the earlier bundle is kept as ${aside}, for what its user_data drive holds: it cannot be booted`);
  }
  return policy.path;
}

/** As it was before. Where that fails, the error that led here says more; what the registry then holds is looked at. */
async function putBack(directory: string, before: ImageRecord): Promise<void> {
  await replaceRecord(directory, before.id, () => before).catch(() => {});
}

/**
 * Whether old and new image have a right to their keys side by side, until a push by requests of our own has brought the new key.
 * Otherwise nobody could tell when that is.
 */
async function overlaps(settings: BuildSettings): Promise<boolean> {
  if (settings.kind === 'development' || settings.builder.kbs.push === 'script') return false;
  return (await automaticAccess(settings, settings.binaries)) !== undefined;
}

/** Whether an image's key has left this machine: a push removes its file once the key broker has it. */
async function keyIsOut({ handoffFolder }: BuildSettings, id: string): Promise<boolean> {
  return (await findKeyFiles([handoffFolder], id)).whole.length === 0;
}

/**
 * What changes at the key broker when an image takes the place of one with its id, in words.
 * @param resource path of the new key
 */
export async function keyBrokerChange(
  settings: BuildSettings,
  id: string,
  resource: string,
): Promise<string> {
  const { kind, builder } = settings;
  if (kind === 'development') return 'the development key broker reads both from the registry';
  const access = await automaticAccess(settings, settings.binaries);
  const byHand = `to be stored by you: the policy with the new digests alone, and the new key at ${resource}`;
  if (access === undefined) return byHand;
  if (builder.kbs.push === 'script')
    return `pushed by your script: the policy with the new digests alone, and the new key to ${resource}`;
  return (await keyIsOut(settings, id))
    ? `pushed: the policy with old and new digests, the new key to ${resource}, the policy again without the old digests; then the old key is removed`
    : `pushed: the policy with the new digests alone, and the new key to ${resource}; the old key was never pushed`;
}

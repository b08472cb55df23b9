import { exitStatus, UserError } from '../../host/errors.ts';
import { lockFile } from '../../host/lock.ts';
import { nextResourcePath, readRegistry, registryPath } from '../../kbs/index.ts';
import { policyPlace } from '../policy-place.ts';
import type { BuildSettings, ReplacedImage } from '../settings.ts';
import { replacementPlaces } from './places.ts';
import { endEarlier } from './replacement.ts';

/** A rebuild's turn: no other one of the same image runs until it is disposed of. */
export interface RebuildTurn extends AsyncDisposable {
  /** What an earlier rebuild of the image left, and what became of it; the record is another one after `finished`. */
  earlier: 'finished' | 'discarded' | undefined;
}

/** Waits for other rebuilds of the image, then ends what one that was killed has left. */
export async function beginRebuild(
  settings: BuildSettings,
  id: string,
  signal: AbortSignal,
): Promise<RebuildTurn> {
  const places = replacementPlaces(settings.handoffFolder, id);
  const lock = await lockFile(places.lock, { signal });
  try {
    const { directory } = policyPlace(settings.kind, settings, settings.handoffFolder);
    const earlier = await endEarlier(places, directory, signal);
    return { earlier, [Symbol.asyncDispose]: () => lock.release() };
  } catch (error) {
    await lock.release();
    throw error;
  }
}

/**
 * For `--keep-id`: where the new image is made, and the resource path of its key.
 * @throws UserError where the image has no right to a key that another could take over.
 */
export async function keptId(
  settings: BuildSettings,
  id: string,
): Promise<NonNullable<ReplacedImage['keepId']>> {
  const { directory } = policyPlace(settings.kind, settings, settings.handoffFolder);
  const image = (await readRegistry(directory))?.images.find((each) => each.id === id);
  if (image?.status !== 'active') {
    const cause = image === undefined ? `it is not in ${registryPath(directory)}` : 'it was retired';
    throw new UserError(`cannot keep the id of image ${id}: ${cause}`, {
      hint: 'without --keep-id it is built again under a new id',
      status: exitStatus.usage,
    });
  }
  return {
    places: replacementPlaces(settings.handoffFolder, id),
    resource: nextResourcePath(settings.builder.kbs.resourcePrefix, image),
  };
}

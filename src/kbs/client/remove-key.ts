import { newDiskKey } from '../../host/secret.ts';
import { failedBy } from './failure.ts';
import type { Kbs } from './kbs.ts';
import { deleteResource, setResource } from './requests.ts';

/** How a key was taken from a KBS. */
export type KeyRemoval = 'deleted' | 'overwritten';

/**
 * Takes an image's key from a KBS, for good: no copy is left to open its drive with. Releases from v0.20
 * delete; older ones get random bytes of the same form in its place. A KBS does not tell a missing resource
 * from a failing store: then the key is overwritten first, which only a working store confirms. Removing it
 * twice does no harm.
 * @throws KbsFailure
 */
export async function removeKey(kbs: Kbs, image: { resourcePath: string }): Promise<KeyRemoval> {
  const path = image.resourcePath;
  try {
    await deleteResource(kbs, path);
    return 'deleted';
  } catch (error) {
    if (!failedBy(error, 'cannot-delete', 'not-deleted')) throw error;
    await overwrite(kbs, path);
    if (error.id === 'cannot-delete') return 'overwritten';
  }
  try {
    await deleteResource(kbs, path);
    return 'deleted';
  } catch (error) {
    if (failedBy(error, 'not-deleted')) return 'overwritten';
    throw error;
  }
}

async function overwrite(kbs: Kbs, path: string): Promise<void> {
  const noise = newDiskKey();
  try {
    await setResource(kbs, path, noise);
  } finally {
    noise.wipe();
  }
}

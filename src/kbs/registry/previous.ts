import type { ImageRecord } from './record.ts';
import { replaceRecord } from './registry.ts';

/** What an image was before; see {@link ImageRecord}. */
export type PreviousImage = NonNullable<ImageRecord['previous']>;

/** What `previous` of an image's successor says of the image. */
export function asPrevious({ resourcePath, digests, adopted, builtAt }: ImageRecord): PreviousImage {
  return {
    resourcePath,
    digests,
    ...(adopted === undefined ? {} : { adopted }),
    builtAt,
    status: 'active',
  };
}

/**
 * Images that were built again under their id, and whose earlier right a push takes back once the key broker has their keys:
 * those whose new key it brings, and those of which an earlier push was cut off after that.
 * @param brought ids of the images whose keys the push brings
 */
export function takenBack(
  images: readonly ImageRecord[],
  brought: readonly string[],
): (ImageRecord & { previous: PreviousImage })[] {
  const over = (image: ImageRecord): image is ImageRecord & { previous: PreviousImage } =>
    image.status === 'active' &&
    (image.previous?.status === 'retired' || (image.previous !== undefined && brought.includes(image.id)));
  return images.filter(over);
}

/** Takes the right to its key from what an image was before; its key has yet to be removed at the key broker. */
export async function retirePrevious(directory: string, id: string, signal: AbortSignal): Promise<void> {
  await replaceRecord(
    directory,
    id,
    (image) =>
      image.previous === undefined ? image : { ...image, previous: { ...image.previous, status: 'retired' } },
    { signal },
  );
}

/** Forgets what an image was before: nothing is left of it at the key broker. */
export async function forgetPrevious(directory: string, id: string, signal: AbortSignal): Promise<void> {
  await replaceRecord(directory, id, ({ previous: _, ...image }) => image, { signal });
}

/**
 * Resource path of an image's next key: `<prefix>/<id>.2`, then `.3`. Never that of an earlier one: so no digest ever has a right to
 * a key of another build, whatever is interrupted.
 */
export function nextResourcePath(
  prefix: string,
  image: Pick<ImageRecord, 'id' | 'resourcePath' | 'previous'>,
): string {
  const numbers = [image.resourcePath, image.previous?.resourcePath ?? ''].map((path) =>
    Number(/\.([1-9]\d{0,8})$/.exec(path)?.[1] ?? 1),
  );
  return `${prefix}/${image.id}.${Math.max(...numbers) + 1}`;
}

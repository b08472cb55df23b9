import { UserError } from '../../host/errors.ts';
import type { ImageRecord } from '../registry/record.ts';
import { readRegistry, registryPath } from '../registry/registry.ts';

/**
 * The active images of a development registry, by resource path; empty where there is none yet.
 * @throws UserError where it is a production registry: nothing vouches for the guests that ask here, so a production
 * image's key must be out of reach.
 */
export async function developmentImages(directory: string): Promise<Map<string, ImageRecord>> {
  const registry = await readRegistry(directory);
  if (registry !== undefined && registry.kind !== 'development') {
    throw new UserError(`cannot serve ${registryPath(directory)}: it is a ${registry.kind} registry`, {
      hint: 'the development KBS serves development images only',
    });
  }
  const active = registry?.images.filter(({ status }) => status === 'active') ?? [];
  return new Map(active.map((image) => [image.resourcePath, image]));
}

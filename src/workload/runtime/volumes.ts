import { posix } from 'node:path';
import { UserError } from '../../host/errors.ts';
import type { ImageConfig } from '../image-config.ts';

/**
 * The folders an image declares as volumes, as absolute paths in order. The guest makes those that the image lacks; all lie
 * in the container's writable layer.
 * @throws UserError for a path that cannot stand on a line of its own
 */
export function volumesOf({ config }: ImageConfig): string[] {
  const paths = Object.keys(config?.Volumes ?? {}).map((path) => posix.resolve('/', path));
  for (const path of paths) {
    // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what is refused
    if (!/[\x00-\x1f\x7f]/.test(path)) continue;
    throw new UserError(
      `cannot run the docker archive: its volume ${JSON.stringify(path)} has a control character`,
      {
        hint: 'name it otherwise in the Dockerfile and build the image again',
      },
    );
  }
  return [...new Set(paths)].filter((path) => path !== '/').sort();
}

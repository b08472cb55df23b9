import { unusable } from './scan.ts';

/** Paths of one image's parts inside its archive, links followed. */
export interface ImageParts {
  reference?: string;
  config: string;
  /** Bottom first. */
  layers: string[];
}

/** The error for an archive of several images: a CVM runs one. */
export function severalImages(archive: string, names: readonly string[]): Error {
  return unusable(
    archive,
    `it holds ${names.length} images: ${names.join(', ')}`,
    `save one alone, e.g.: docker save ${names[0]} | gzip > image.tar.gz`,
  );
}

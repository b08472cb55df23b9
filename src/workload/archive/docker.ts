import { z } from 'zod';
import { parseDocument } from './documents.ts';
import { type ImageParts, severalImages } from './parts.ts';
import { type ArchiveIndex, unusable } from './scan.ts';

/** `manifest.json` of `docker save` (Docker image specification 1.2, "Combined Image JSON + Filesystem Changeset Format"). */
const manifestSchema = z.array(
  z.looseObject({
    Config: z.string().min(1),
    RepoTags: z.array(z.string()).nullish(),
    Layers: z.array(z.string().min(1)),
  }),
);

/** @throws UserError where `manifest.json` names no image or several */
export function dockerImage(archive: string, index: ArchiveIndex): ImageParts {
  const data = index.documents.get('manifest.json')!;
  const images = parseDocument(archive, 'manifest.json', data, manifestSchema);
  const [image] = images;
  if (image === undefined) throw unusable(archive, 'its manifest.json names no image');
  if (images.length > 1) {
    const names = images.map(({ RepoTags, Config }) => RepoTags?.[0] ?? Config);
    throw severalImages(archive, names);
  }
  const reference = image.RepoTags?.[0];
  return { ...(reference === undefined ? {} : { reference }), config: image.Config, layers: image.Layers };
}

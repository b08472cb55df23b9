import { createHash } from 'node:crypto';
import { type ImageConfig, imageConfigSchema } from '../image-config.ts';
import { dockerImage } from './docker.ts';
import { checkDigest, documentOf, parseDocument } from './documents.ts';
import { ociImage } from './oci.ts';
import { type ArchiveIndex, unusable } from './scan.ts';

/** The one image of an archive. */
export interface Image {
  reference?: string;
  /** `sha256:<hex>` of the configuration's bytes: what `docker images --digests` calls the image id. */
  id: string;
  config: ImageConfig;
  /** Paths in the archive, bottom first; as many as the configuration has diff ids. */
  layers: string[];
}

/**
 * Finds the image of an archive: by `manifest.json` (docker save, skopeo), else by `index.json` (OCI layout).
 * @throws UserError where there is none, more than one, or one for another kind of machine
 */
export function imageOf(archive: string, index: ArchiveIndex): Image {
  const parts = index.documents.has('manifest.json')
    ? dockerImage(archive, index)
    : index.documents.has('index.json')
      ? ociImage(archive, index)
      : undefined;
  if (parts === undefined) throw unusable(archive, 'it has neither manifest.json nor index.json');

  const data = documentOf(archive, index, parts.config);
  checkDigest(archive, parts.config, data);
  const config = parseDocument(archive, parts.config, data, imageConfigSchema);
  if (config.os !== 'linux' || config.architecture !== 'amd64') {
    throw unusable(
      archive,
      `its image is for ${config.os}/${config.architecture}, not linux/amd64`,
      'build it with: docker build --platform linux/amd64 …',
    );
  }
  const claimed = config.rootfs.diff_ids.length;
  if (claimed !== parts.layers.length) {
    throw unusable(
      archive,
      `its manifest names ${parts.layers.length} layers, its image configuration ${claimed}`,
    );
  }
  if (claimed === 0) throw unusable(archive, 'its image has no layers');
  return { ...parts, id: `sha256:${createHash('sha256').update(data).digest('hex')}`, config };
}

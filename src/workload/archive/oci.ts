import { z } from 'zod';
import { checkDigest, documentOf, parseDocument } from './documents.ts';
import { type ImageParts, severalImages } from './parts.ts';
import { type ArchiveIndex, unusable } from './scan.ts';

const digestSchema = z.string().regex(/^sha256:[0-9a-f]{64}$/, 'only sha256 digests are supported');

/** OCI image specification, descriptor.md. */
const descriptorSchema = z.looseObject({
  mediaType: z.string().optional(),
  digest: digestSchema,
  annotations: z.record(z.string(), z.string()).nullish(),
  platform: z.looseObject({ os: z.string(), architecture: z.string() }).nullish(),
});
type Descriptor = z.infer<typeof descriptorSchema>;

/** OCI image specification, image-index.md and manifest.md; Docker's manifest list and manifest have the same shape. */
const indexSchema = z.looseObject({ manifests: z.array(descriptorSchema) });
const manifestSchema = z.looseObject({ config: descriptorSchema, layers: z.array(descriptorSchema) });

const indexTypes = [
  'application/vnd.oci.image.index.v1+json',
  'application/vnd.docker.distribution.manifest.list.v2+json',
];
const maximumDepth = 4;

function blobPath(digest: string): string {
  return `blobs/${digest.replace(':', '/')}`;
}

function referenceOf({ annotations }: Descriptor): string | undefined {
  return annotations?.['io.containerd.image.name'] ?? annotations?.['org.opencontainers.image.ref.name'];
}

/** Build attestations ride in an index beside the images they speak of. */
function isAttestation({ annotations, platform }: Descriptor): boolean {
  return annotations?.['vnd.docker.reference.type'] === 'attestation-manifest' || platform?.os === 'unknown';
}

/** Images of an index and the indexes inside of it; a nested image without a name of its own takes the index's. */
function imagesOf(archive: string, index: ArchiveIndex, path: string, depth = 0): Descriptor[] {
  if (depth > maximumDepth) throw unusable(archive, 'its image indexes are nested too deeply');
  const data = documentOf(archive, index, path);
  if (depth > 0) checkDigest(archive, path, data);
  return parseDocument(archive, path, data, indexSchema)
    .manifests.filter((descriptor) => !isAttestation(descriptor))
    .flatMap((descriptor) => {
      if (!indexTypes.includes(descriptor.mediaType ?? '')) return [descriptor];
      return imagesOf(archive, index, blobPath(descriptor.digest), depth + 1).map((inner) => ({
        ...inner,
        annotations: { ...descriptor.annotations, ...inner.annotations },
      }));
    });
}

/** @throws UserError where `index.json` names no image for linux/amd64, or several */
export function ociImage(archive: string, index: ArchiveIndex): ImageParts {
  const all = imagesOf(archive, index, 'index.json');
  const forUs = all.filter(
    ({ platform }) => !platform || (platform.os === 'linux' && platform.architecture === 'amd64'),
  );
  if (forUs.length === 0) {
    const platforms = all.map(({ platform }) => `${platform?.os}/${platform?.architecture}`);
    const why =
      all.length === 0
        ? 'its index.json names no image'
        : `its image is for ${platforms.join(', ')}, not linux/amd64`;
    throw unusable(archive, why);
  }
  // Several tags of one image are several descriptors with one digest.
  const [image, ...others] = [
    ...new Map(forUs.map((descriptor) => [descriptor.digest, descriptor])).values(),
  ];
  if (others.length > 0)
    throw severalImages(
      archive,
      [image!, ...others].map((one) => referenceOf(one) ?? one.digest),
    );

  const path = blobPath(image!.digest);
  const data = documentOf(archive, index, path);
  checkDigest(archive, path, data);
  const manifest = parseDocument(archive, path, data, manifestSchema);
  const reference = referenceOf(image!);
  return {
    ...(reference === undefined ? {} : { reference }),
    config: blobPath(manifest.config.digest),
    layers: manifest.layers.map(({ digest }) => blobPath(digest)),
  };
}

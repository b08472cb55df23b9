import { z } from 'zod';

/**
 * One segment of a KBS resource path, as the KBS itself checks it: a letter, digit, `_` or `-`, then those and
 * dots. No `%`, so a path never needs URL encoding.
 */
const segment = '[A-Za-z0-9_-][A-Za-z0-9_.-]*';

/** A resource path: `repository/type/tag`, exactly three segments. */
export const resourcePathPattern = new RegExp(`^${segment}/${segment}/${segment}$`);

/** A launch digest as lower-case hex: 48 bytes, 96 digits. */
export const launchDigestPattern = /^[0-9a-f]{96}$/;

/** Text that fits on one line of a policy's comment. */
const label = z
  .string()
  .min(1)
  .max(200)
  // biome-ignore lint/suspicious/noControlCharactersInRegex: keeping them out is the purpose
  .regex(/^[^\u0000-\u001f\u007f\u2028\u2029]*$/, 'must hold no control characters');

const sha256 = z.string().regex(/^[0-9a-f]{64}$/, 'must be 64 lower-case hex digits');

const launchDigest = z.string().regex(launchDigestPattern, 'must be 96 lower-case hex digits');

/** One launch digest of an image, with what it was computed from. */
export const launchDigestRecord = z.strictObject({
  vcpus: z.int().positive(),
  /** QEMU CPU model, e.g. `EPYC-v4`. */
  cpu: label,
  /** SEV guest features, as `0x1`. */
  guestFeatures: z.string().regex(/^0x[0-9a-f]{1,16}$/, 'must be hexadecimal like 0x1'),
  firmwareSha256: sha256,
  hex: launchDigest,
});

/** Where a disk key lies, e.g. `keys/root/<id>`. */
const resourcePath = z
  .string()
  .regex(resourcePathPattern, 'must be three segments of letters, digits, "_", "-" and inner "."')
  .refine((path) => path.split('/').every((part) => part.length <= 255), 'has a segment over 255 bytes');

/** Launch digests whose origin nobody recorded: they stood in the policy of an older builder. */
const adoptedDigests = z.strictObject({ at: z.iso.datetime(), digests: z.array(launchDigest).min(1) });

/**
 * What an image was before it was built again under its own id. An active one keeps its right to its own key, at its own path,
 * until the key broker has the new image's; a retired one has none, and its key has yet to be removed there.
 */
const previousRecord = z.strictObject({
  resourcePath,
  digests: z.array(launchDigestRecord),
  adopted: adoptedDigests.optional(),
  builtAt: z.iso.datetime(),
  status: z.enum(['active', 'retired']),
});

/** What the key broker's side knows about one image. Holds no secret. */
export const imageRecord = z
  .strictObject({
    id: z.string().regex(/^[0-9a-f]{12}$/, 'must be 12 lower-case hex digits'),
    /** The site's name. */
    name: label,
    project: label.optional(),
    role: label.optional(),
    resourcePath,
    /** Empty only for an image that was taken over from an older builder's policy. */
    digests: z.array(launchDigestRecord),
    adopted: adoptedDigests.optional(),
    previous: previousRecord.optional(),
    /**
     * By file name, the SHA-256 of each file of the bundle that stays as it was built: what no launch digest covers
     * is held against it. Records of earlier builders have none.
     */
    files: z
      .record(z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/, 'must be a file name'), sha256)
      .refine((files) => Object.keys(files).length <= 32, 'must list no more than 32 files')
      .optional(),
    /** Of an image that was taken over: when that was. */
    builtAt: z.iso.datetime(),
    /** Only an active image may fetch its key. */
    status: z.enum(['active', 'retired']),
    kind: z.enum(['production', 'development']),
    /** Absolute path of the disk key. The development KBS reads it; production keys never have one here. */
    keyFile: z
      .string()
      .startsWith('/', 'must be an absolute path')
      .refine((path) => !path.includes('\0'), 'must hold no NUL')
      .optional(),
  })
  .refine((record) => record.kind === 'development' || record.keyFile === undefined, {
    message: 'a production record must not name a key file',
    path: ['keyFile'],
  })
  .refine((record) => record.kind === 'production' || record.previous === undefined, {
    message: 'a development record has no previous image: its key broker reads the registry itself',
    path: ['previous'],
  })
  .refine((record) => record.previous?.resourcePath !== record.resourcePath, {
    message: 'must be another path than the present image has',
    path: ['previous', 'resourcePath'],
  })
  .refine((record) => record.digests.length > 0 || record.adopted !== undefined, {
    message: 'must hold at least one launch digest',
    path: ['digests'],
  });

export type LaunchDigestRecord = z.infer<typeof launchDigestRecord>;
export type ImageRecord = z.infer<typeof imageRecord>;
export type ImageKind = ImageRecord['kind'];

/** Every launch digest of an image as lower-case hex, wherever it comes from. */
export function launchDigestsOf({ digests, adopted }: Pick<ImageRecord, 'digests' | 'adopted'>): string[] {
  return [...digests.map(({ hex }) => hex), ...(adopted?.digests ?? [])];
}

/**
 * The images whose keys a policy releases: the active ones, and what each was before, where that has not lost its right yet.
 */
export function imagesWithRights(images: readonly ImageRecord[]): ImageRecord[] {
  return images
    .filter(({ status }) => status === 'active')
    .flatMap(({ previous, ...image }) => {
      if (previous?.status !== 'active') return [image];
      const { adopted: _, ...rest } = image;
      return [image, { ...rest, ...previous }];
    });
}

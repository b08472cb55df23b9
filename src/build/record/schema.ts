import { z } from 'zod';

/** Version of build.json's form; raised when a reader of the old form would misread the new one. */
export const buildRecordVersion = 1;

const sha256 = z.string().regex(/^[0-9a-f]{64}$/, 'must be 64 lower-case hex digits');
const absolute = z
  .string()
  .startsWith('/', 'must be an absolute path')
  .refine((path) => !path.includes('\0'), 'must hold no NUL');
const file = z.strictObject({ path: absolute, sha256 });

/** What builder.yml says of the image itself; the rest (key broker's credentials, folders) is never recorded. */
const builderValues = z.strictObject({
  kbs: z.strictObject({ url: z.string().optional(), resourcePrefix: z.string() }),
  base: z.record(z.string(), z.unknown()),
  machine: z.record(z.string(), z.unknown()),
  userConfigPlain: z.array(z.string()).optional(),
});

/** What a bundle was built from. It holds paths, digests and settings, and no secret. */
export const buildRecordSchema = z.strictObject({
  version: z.literal(buildRecordVersion),
  id: z.string().regex(/^[0-9a-f]{12}$/, 'must be 12 lower-case hex digits'),
  name: z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._@+-]*$/, 'must be a file name without blanks'),
  kind: z.enum(['production', 'development']),
  project: z.string().optional(),
  builder_version: z.string(),
  /** See `builderCode`; absent in records of earlier builders. */
  builder_sha256: sha256.optional(),
  /** Of manifest.json, which has the SHA-256 of all other files of the bundle; absent in records of earlier builders. */
  manifest_sha256: sha256.optional(),
  /** ISO 8601 in UTC. */
  created: z.iso.datetime(),
  /** The site's configuration. FLARE removes the file that it names, so the text itself is here. */
  cc_config: z.strictObject({ path: absolute, text: z.string() }),
  /** Without a path where there was no builder.yml. */
  builder: z.strictObject({ path: absolute.optional(), values: builderValues }),
  inputs: z.strictObject({
    docker_archive: file,
    /** Folder by name below /user_config, and one digest over all of them: names, permission bits, content. */
    user_config: z.strictObject({ folders: z.record(z.string(), absolute), sha256 }),
    /** Id of base.squashfs, and the image that it was imported from. */
    base: z.strictObject({ id: sha256, origin: z.string(), image: absolute.optional() }),
    firmware: file.extend({ accepted: z.boolean() }),
    kbs_client: file.optional(),
    snpguest: file.optional(),
    /** PEM text of the key broker's certificate. */
    kbs_ca: z.strictObject({ sha256 }),
    /** Content keys of the parts of the initrd that sites share. */
    initrd_parts: z.array(z.string().regex(/^[0-9a-f]{64}$/)),
  }),
});

export type BuildRecord = z.infer<typeof buildRecordSchema>;
export type BuildInputs = BuildRecord['inputs'];

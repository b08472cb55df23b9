import { lstat } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { exitStatus, hasCode, messageOf, UserError } from '../host/errors.ts';
import { type HashOptions, readTextFile, sha256File, writeFileAtomic } from '../host/files.ts';
import { hashedFiles, manifestName } from './names.ts';

/** Version of manifest.json's form; raised when a reader of the old form would misread the new one. */
export const manifestVersion = 1;

const sha256 = z.string().regex(/^[0-9a-f]{64}$/, 'must be 64 lower-case hex digits');
const hexNumber = z.string().regex(/^0x[0-9a-f]{1,16}$/, 'must be a number like 0x1');
const oneLine = z.string().regex(/^\P{Cc}*$/u, 'must be one line of text');

const digestSchema = z
  .strictObject({
    vcpus: z.int().min(1).max(4096),
    cpu: oneLine,
    guest_features: hexNumber,
    /** Launch digest, 48 bytes: MEASUREMENT of the attestation report. */
    hex: z.string().regex(/^[0-9a-f]{96}$/, 'must be 96 lower-case hex digits'),
    /** The same bytes in standard base64, the form that some key brokers report. */
    base64: z.string(),
  })
  .refine(
    ({ hex, base64 }) => Buffer.from(hex, 'hex').toString('base64') === base64,
    'hex and base64 must be the same digest',
  );

const launchSchema = z
  .strictObject({
    /** Kernel command line, exactly as measured. Printable ASCII; x86 kernels take 2047 bytes (COMMAND_LINE_SIZE). */
    cmdline: z
      .string()
      .max(4096, 'must be at most 4096 characters')
      .regex(/^[\x20-\x7e]+$/, 'must be printable ASCII'),
    /** QEMU's name of the CPU model. */
    cpu: z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._-]*$/, "must be the name of one of QEMU's CPU models"),
    guest_features: hexNumber,
    /** SNP guest policy; 0x30000 allows SMT and sets the reserved bit that must be one, no debugging. */
    policy: z.literal('0x30000'),
    /** vCPU counts that were measured; launch_vm.sh takes the first unless told otherwise. */
    vcpus: z.array(z.int().min(1).max(4096)).min(1),
    digests: z.array(digestSchema).min(1),
    /** Memory that launch_vm.sh gives the VM unless told otherwise, in GiB; not measured. */
    memory_gib: z.int().min(1).max(65_536),
    /** Where the firmware looks for the hash table of kernel, initrd and command line: its guest-physical address. */
    hash_table_address: hexNumber.optional(),
  })
  .refine(
    ({ vcpus, digests, cpu, guest_features }) =>
      vcpus.length === digests.length &&
      new Set(vcpus).size === vcpus.length &&
      digests.every(
        (digest) =>
          vcpus.includes(digest.vcpus) && digest.cpu === cpu && digest.guest_features === guest_features,
      ) &&
      new Set(digests.map((digest) => digest.vcpus)).size === digests.length,
    'digests must hold one for each of vcpus, for the same CPU model and guest features',
  );

const fileSchema = z.strictObject({ sha256, bytes: z.int().min(0) });

/** manifest.json: what a bundle is and what it must measure to. It holds no secret. */
export const manifestSchema = z
  .strictObject({
    schema_version: z.literal(manifestVersion),
    id: z.string().regex(/^[0-9a-f]{12}$/, 'must be 12 lower-case hex digits'),
    name: z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._@+-]*$/, 'must be a file name without blanks'),
    kind: z.enum(['production', 'development']),
    builder_version: oneLine,
    /** ISO 8601 in UTC. */
    created: z.iso.datetime(),
    /** By file name: every file of the bundle but manifest.json itself. */
    files: z.strictObject(
      Object.fromEntries(hashedFiles.map((name) => [name, fileSchema])) as Record<
        (typeof hashedFiles)[number],
        typeof fileSchema
      >,
    ),
    launch: launchSchema,
    firmware: z.strictObject({
      sha256,
      version: oneLine.optional(),
      verdict: z.enum(['sound', 'weak', 'unknown']),
      reason: oneLine,
      /** Taken at the administrator's word, by its SHA-256, although it is not sound. */
      accepted: z.literal(true).optional(),
    }),
    kbs: z.strictObject({
      /** Without user name, password or query. */
      url: z.url({ protocol: /^https?$/ }).refine(hasNoSecret, 'must hold no user name, password or query'),
      /** Resource path of the disk key, e.g. keys/root/885fe8f608b3. */
      resource: z
        .string()
        .regex(/^[A-Za-z0-9._-]+(?:\/[A-Za-z0-9._-]+){2}$/, 'must be like keys/root/885fe8f608b3'),
    }),
  })
  .refine(({ files, firmware }) => files['OVMF.amdsev.fd'].sha256 === firmware.sha256, {
    path: ['firmware', 'sha256'],
    error: 'must be that of OVMF.amdsev.fd in files',
  });

export type Manifest = z.infer<typeof manifestSchema>;
export type LaunchDigest = z.infer<typeof digestSchema>;

function hasNoSecret(url: string): boolean {
  // What is no URL at all is refused by its own rule, which does not keep this one from being asked.
  if (!URL.canParse(url)) return true;
  const { username, password, search, hash } = new URL(url);
  return `${username}${password}${search}${hash}` === '';
}

/** Time of the build for `created`: SOURCE_DATE_EPOCH (seconds) where it is set, else now. */
export function createdNow(environment: NodeJS.ProcessEnv = process.env): string {
  const epoch = environment.SOURCE_DATE_EPOCH;
  if (epoch === undefined || epoch === '') return new Date().toISOString();
  if (/^\d{1,11}$/.test(epoch)) return new Date(Number(epoch) * 1000).toISOString();
  throw new UserError(
    `cannot use SOURCE_DATE_EPOCH ${JSON.stringify(epoch)}: it is not a number of seconds`,
    {
      status: exitStatus.usage,
    },
  );
}

/** SHA-256 and size of every file that the manifest lists, read from a bundle folder. */
export async function describeFiles(folder: string, options: HashOptions = {}): Promise<Manifest['files']> {
  const described: Partial<Manifest['files']> = {};
  for (const name of hashedFiles) {
    const { hex, size } = await sha256File(join(folder, name), options);
    described[name] = { sha256: hex, bytes: size };
  }
  return described as Manifest['files'];
}

/** Checks a manifest and writes it to `manifest.json` in the folder, readable by all. */
export async function writeManifest(folder: string, manifest: Manifest): Promise<void> {
  await writeFileAtomic(join(folder, manifestName), manifestText(manifest), 0o644);
}

/** What is written of a manifest. */
export function manifestText(manifest: Manifest): string {
  return `${JSON.stringify(manifestSchema.parse(manifest), undefined, 2)}\n`;
}

/**
 * Reads and checks a bundle folder's manifest.
 * @throws UserError naming every field that is wrong, or the version where it is of a later builder.
 */
export async function readManifest(folder: string): Promise<Manifest> {
  const file = join(folder, manifestName);
  let text: string;
  try {
    const found = await lstat(file);
    if (!found.isFile() || found.size > largestManifest) throw cannotRead(file, notSmall);
    text = await readTextFile(file, largestManifest);
  } catch (error) {
    if (hasCode(error, 'ENOENT'))
      throw cannotRead(file, 'there is no such file', 'name a folder cvm_<id> of a bundle');
    throw error instanceof UserError ? error : cannotRead(file, messageOf(error));
  }
  return parseManifest(file, text);
}

/** Bytes that a manifest may have. */
export const largestManifest = 2 ** 20;
const notSmall = 'it is not a small regular file';

function cannotRead(file: string, cause: string, hint?: string): UserError {
  return new UserError(`cannot read ${file}: ${cause}`, hint === undefined ? {} : { hint });
}

/**
 * Checks the text of a manifest.
 * @param file its name in messages
 * @throws UserError as {@link readManifest} does.
 */
export function parseManifest(file: string, text: string): Manifest {
  if (text.length > largestManifest) throw cannotRead(file, notSmall);
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw cannotRead(file, `it is not JSON: ${messageOf(error)}`);
  }
  const version = (value as { schema_version?: unknown } | null)?.schema_version;
  if (typeof version === 'number' && version > manifestVersion) {
    throw cannotRead(
      file,
      `it has schema version ${version}, this builder knows ${manifestVersion}`,
      'use the builder that made it',
    );
  }
  const parsed = manifestSchema.safeParse(value);
  if (parsed.success) return parsed.data;
  const problems = parsed.error.issues.map(
    ({ path, message }) => `${path.join('.') || 'the whole'}: ${message}`,
  );
  throw cannotRead(file, problems.join('; '));
}

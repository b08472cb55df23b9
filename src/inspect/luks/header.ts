import { createHash } from 'node:crypto';
import { z } from 'zod';
import type { Blocks } from '../../host/disk/blocks.ts';
import { MalformedError } from '../../host/tar/bytes.ts';

/*
 * LUKS2 On-Disk Format Specification 1.1.3, chapter 2. The binary header takes 4096 bytes, numbers are big-endian; JSON follows up to
 * hdr_size. A second copy of both lies behind, at hdr_size, with another magic.
 */

/** Offsets in the binary header, in bytes. */
const at = {
  magic: 0,
  version: 6,
  size: 8,
  sequence: 16,
  algorithm: 72,
  offset: 256,
  checksum: 448,
} as const;
const binaryBytes = 4096;
const checksumBytes = 64;
const magics = { first: 'LUKS\xba\xbe', second: 'SKUL\xba\xbe' } as const;
/** Sizes of the header areas that the specification allows, bytes. */
const areas = [16, 32, 64, 128, 256, 512, 1024, 2048, 4096].map((kib) => kib * 1024);

const number = z
  .string()
  .regex(/^\d{1,15}$/)
  .transform(Number);
const base64 = z.base64().transform((text) => Buffer.from(text, 'base64'));
const iterations = z.int().min(1).max(100_000_000);

const keyslot = z.looseObject({
  type: z.string(),
  key_size: z.int().min(1).max(512),
  af: z.looseObject({ type: z.string(), stripes: z.int().min(1).max(4096), hash: z.string() }),
  area: z.looseObject({
    type: z.string(),
    offset: number,
    size: number,
    encryption: z.string(),
    key_size: z.int().min(1).max(512),
  }),
  kdf: z.looseObject({
    type: z.string(),
    hash: z.string().optional(),
    iterations: iterations.optional(),
    salt: base64.optional(),
  }),
});

const segment = z.looseObject({
  type: z.string(),
  offset: number,
  size: z.string(),
  iv_tweak: z.string(),
  encryption: z.string(),
  sector_size: z.int(),
  integrity: z.unknown().optional(),
  flags: z.array(z.string()).optional(),
});

const metadata = z.looseObject({
  keyslots: z.record(z.string(), keyslot),
  tokens: z.record(z.string(), z.unknown()),
  segments: z.record(z.string(), segment),
  digests: z.record(
    z.string(),
    z.looseObject({
      type: z.string(),
      keyslots: z.array(z.string()),
      segments: z.array(z.string()),
      hash: z.string(),
      iterations,
      salt: base64,
      digest: base64,
    }),
  ),
  config: z.looseObject({ requirements: z.unknown().optional() }),
});

/** The JSON of a LUKS2 header. */
export type LuksMetadata = z.infer<typeof metadata>;
export type Keyslot = LuksMetadata['keyslots'][string];

/**
 * Reads and verifies a LUKS2 header: the first of its two copies.
 * @param blocks a drive, or a detached header
 * @throws MalformedError where it is damaged or of a form that this reader does not know
 */
export async function readLuksHeader(blocks: Blocks): Promise<LuksMetadata> {
  const binary = await blocks.read(0, Math.min(binaryBytes, blocks.size));
  const wrong = (what: string) => new MalformedError(`its LUKS header ${what}`);
  if (binary.length < binaryBytes || binary.toString('latin1', at.magic, at.magic + 6) !== magics.first)
    throw wrong('is not there');
  const version = binary.readUInt16BE(at.version);
  if (version !== 2) throw wrong(`is of version ${version}`);
  const size = Number(binary.readBigUInt64BE(at.size));
  if (!areas.includes(size) || size > blocks.size) throw wrong(`claims ${size} bytes`);
  if (binary.readBigUInt64BE(at.offset) !== 0n) throw wrong('says that it lies elsewhere');
  const algorithm = binary.toString('latin1', at.algorithm, at.algorithm + 32).replace(/\0.*$/s, '');
  if (algorithm !== 'sha256') throw wrong(`has a checksum by ${JSON.stringify(algorithm)}`);
  const area = Buffer.from(await blocks.read(0, size));
  const checksum = Buffer.from(area.subarray(at.checksum, at.checksum + 32));
  area.fill(0, at.checksum, at.checksum + checksumBytes);
  if (!createHash('sha256').update(area).digest().equals(checksum)) throw wrong('has a wrong checksum');
  return parseMetadata(area.toString('utf8', binaryBytes).replace(/\0.*$/s, ''));
}

function parseMetadata(text: string): LuksMetadata {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new MalformedError('its LUKS header holds no JSON');
  }
  const parsed = metadata.safeParse(value);
  if (parsed.success) return parsed.data;
  const { path, message } = parsed.error.issues[0]!;
  throw new MalformedError(`its LUKS header is not as LUKS2 has it: ${path.join('.')}: ${message}`);
}

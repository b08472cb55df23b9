import { z } from 'zod';
import { MalformedError } from '../../host/tar/bytes.ts';
import type { VerityPin } from '../verity/tree.ts';

/** A part of the payload: its place in bytes. */
export interface SealedSegment {
  /** `base`, `site`, `layer0`, … */
  name: string;
  offset: number;
  bytes: number;
}

/** What the initrd of a bundle seals. It is measured, so where the launch digests are right, so is this. */
export interface SealedSettings {
  settings: z.infer<typeof settingsSchema>;
  segments: SealedSegment[];
  verity: VerityPin;
  /** The vault's mark, bytes from the start of the payload. */
  vaultMark: number;
  luksHeader: Buffer;
  /** Rules of nft(8). */
  firewall: string;
  hosts: string;
}

const whole = z
  .string()
  .regex(/^\d{1,15}$/)
  .transform(Number);
const hash = z.string().regex(/^[0-9a-f]{64}$/);
const yesNo = z.enum(['yes', 'no']);

/** /etc/cvm/settings as far as others look at it. */
const settingsSchema = z.looseObject({
  kind: z.enum(['production', 'development']),
  builder_version: z.string(),
  cvm_id: z.string(),
  cvm_name: z.string(),
  cmdline: z.string(),
  build_time: whole,
  kbs_url: z.string(),
  kbs_path: z.string(),
  verity_root_hash: hash,
  verity_salt: z.string().regex(/^(?:[0-9a-f]{2}){1,256}$/),
  verity_hash_offset: whole,
  verity_data_blocks: whole,
  vault_first_sector: whole,
  vault_integrity: yesNo,
  user_data_writable: yesNo,
  workload_uid: whole,
  workload_gid: whole,
  first_id: whole,
});

const sector = 512;

/**
 * Reads what the site's part of an initrd says.
 * @param files of /etc/cvm, by name
 * @throws MalformedError where a file is missing or is not of the form that this builder writes
 */
export function parseSealed(files: ReadonlyMap<string, Buffer>): SealedSettings {
  const file = (name: string): Buffer => {
    const found = files.get(name);
    if (found === undefined) throw new MalformedError(`it has no /etc/cvm/${name}`);
    return found;
  };
  const parsed = settingsSchema.safeParse(shellValues(file('settings').toString('utf8')));
  if (!parsed.success) {
    const [issue] = parsed.error.issues;
    throw new MalformedError(
      `its /etc/cvm/settings is not this builder's: ${issue?.path.join('.')}: ${issue?.message}`,
    );
  }
  const settings = parsed.data;
  return {
    settings,
    segments: parseLayout(file('layout').toString('utf8')),
    verity: {
      rootHash: Buffer.from(settings.verity_root_hash, 'hex'),
      salt: Buffer.from(settings.verity_salt, 'hex'),
      hashOffset: settings.verity_hash_offset,
      dataBlocks: settings.verity_data_blocks,
    },
    vaultMark: settings.vault_first_sector * sector,
    luksHeader: file('luks-header'),
    firewall: file('firewall.nft').toString('utf8'),
    hosts: file('hosts').toString('utf8'),
  };
}

/** Lines `name='value'`; a single quote in a value is written `'\''`. */
export function shellValues(text: string): Record<string, string> {
  const values: Record<string, string> = {};
  for (const [, name, value] of text.matchAll(/^([a-z_]+)='((?:[^']|'\\'')*)'$/gm))
    values[name!] = value!.replaceAll("'\\''", "'");
  return values;
}

function parseLayout(text: string): SealedSegment[] {
  return text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => {
      const [, name, first, sectors] = /^([a-z]+\d*) (\d{1,13}) (\d{1,13})$/.exec(line) ?? [];
      if (name === undefined) throw new MalformedError('its /etc/cvm/layout has a line of another form');
      return { name, offset: Number(first) * sector, bytes: Number(sectors) * sector };
    });
}

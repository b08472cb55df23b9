import { createHash, pbkdf2, timingSafeEqual } from 'node:crypto';
import { promisify } from 'node:util';
import type { Blocks } from '../../host/disk/blocks.ts';
import { Secret } from '../../host/secret.ts';
import { MalformedError } from '../../host/tar/bytes.ts';
import type { Keyslot, LuksMetadata } from './header.ts';
import { decryptXts } from './xts.ts';

const derive = promisify(pbkdf2);

/** What a keyslot of this builder's is; another is not opened, as its cost and its cipher are the header's choice. */
const known = { cipher: 'aes-xts-plain64', hash: 'sha256', mostIterations: 1_000_000 } as const;
const keyBytes = 64;
/** LUKS2 itself has at most 32; this builder makes one. */
const mostSlots = 4;
const slotSector = 512;

/**
 * The volume key that a passphrase opens, or undefined where it opens none of the keyslots.
 * @param header the header's bytes, keyslots included
 * @throws MalformedError where no keyslot is of the form that this builder makes
 */
export async function unlockVolumeKey(
  header: Blocks,
  metadata: LuksMetadata,
  passphrase: Secret,
): Promise<Secret | undefined> {
  const slots = Object.entries(metadata.keyslots).filter(([, slot]) => isOurs(slot));
  // Each costs a second and more, and a header of 4 MiB could name thousands.
  if (slots.length > mostSlots) throw new MalformedError(`its LUKS header has ${slots.length} keyslots`);
  if (slots.length === 0) throw new MalformedError('its LUKS header has no keyslot that this reader knows');
  for (const [name, slot] of slots) {
    const digest = Object.values(metadata.digests).find(({ keyslots }) => keyslots.includes(name));
    if (digest?.type !== 'pbkdf2' || digest.hash !== known.hash || digest.iterations > known.mostIterations)
      throw new MalformedError(`its LUKS header has no digest for keyslot ${name} that this reader knows`);
    const candidate = await openSlot(header, slot, passphrase);
    const found = await derive(candidate, digest.salt, digest.iterations, digest.digest.length, digest.hash);
    if (found.length === digest.digest.length && timingSafeEqual(found, digest.digest))
      return new Secret(candidate);
    candidate.fill(0);
  }
  return undefined;
}

function isOurs({ type, key_size, af, area, kdf }: Keyslot): boolean {
  return (
    type === 'luks2' &&
    key_size === keyBytes &&
    af.type === 'luks1' &&
    af.hash === known.hash &&
    area.type === 'raw' &&
    area.encryption === known.cipher &&
    area.key_size === keyBytes &&
    area.size >= af.stripes * key_size &&
    kdf.type === 'pbkdf2' &&
    kdf.hash === known.hash &&
    kdf.salt !== undefined &&
    (kdf.iterations ?? Number.POSITIVE_INFINITY) <= known.mostIterations
  );
}

async function openSlot(header: Blocks, { af, area, kdf }: Keyslot, passphrase: Secret): Promise<Buffer> {
  const slotKey = await derive(passphrase.reveal(), kdf.salt!, kdf.iterations!, area.key_size, known.hash);
  const length = Math.ceil((af.stripes * keyBytes) / slotSector) * slotSector;
  const stripes = decryptXts(slotKey, await header.read(area.offset, length), slotSector, 0);
  slotKey.fill(0);
  const key = mergeStripes(stripes, af.stripes);
  stripes.fill(0);
  return key;
}

/** The anti-forensic splitter of LUKS1 undone (LUKS1 On-Disk Format Specification 1.2.3, section 2.4: AFMerge). */
function mergeStripes(stripes: Buffer, count: number): Buffer {
  const block = Buffer.alloc(keyBytes);
  for (let stripe = 0; stripe < count; stripe += 1) {
    for (let index = 0; index < keyBytes; index += 1) block[index]! ^= stripes[stripe * keyBytes + index]!;
    if (stripe < count - 1) diffuse(block);
  }
  return block;
}

/** Replaces each 32 bytes by the SHA-256 of their number (32 bits, big-endian) and themselves. */
function diffuse(block: Buffer): void {
  const number = Buffer.alloc(4);
  for (let index = 0; index * 32 < block.length; index += 1) {
    number.writeUInt32BE(index);
    const piece = block.subarray(index * 32, (index + 1) * 32);
    createHash('sha256').update(number).update(piece).digest().copy(piece);
  }
}

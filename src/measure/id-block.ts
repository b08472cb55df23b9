import { createPublicKey, hash, type KeyObject, sign } from 'node:crypto';
import { hex, MeasurementError } from './error.ts';
import { digestSize } from './page.ts';
import { defaultPolicy, hasPolicyBit } from './policy.ts';

/** ID_BLOCK, 96 bytes, little-endian; SEV-SNP firmware ABI (AMD 56860), SNP_LAUNCH_FINISH. */
const block = {
  launchDigest: 0x00,
  familyId: 0x30,
  imageId: 0x40,
  version: 0x50,
  svn: 0x54,
  policy: 0x58,
  size: 0x60,
} as const;
const blockVersion = 1;

/** ID_AUTH information structure, 4096 bytes, of the same chapter. */
const auth = {
  idKeyAlgorithm: 0x000,
  authorKeyAlgorithm: 0x004,
  idBlockSignature: 0x040,
  idKey: 0x240,
  idKeySignature: 0x680,
  authorKey: 0x880,
  size: 0x1000,
} as const;
/** ECDSA P-384 with SHA-384, for both algorithm fields. */
const ecdsaP384 = 1;

/** ECDSA public key: u32 curve, then X and Y in 72 bytes each, little-endian; zero to 1028 bytes. */
const publicKey = { curve: 0, x: 4, y: 76, size: 1028 } as const;
const curveP384 = 2;

/** ECDSA signature: R and S in 72 bytes each, little-endian; zero to 512 bytes. */
const signature = { r: 0, s: 72, size: 512 } as const;

/** Bytes in a coordinate or scalar of P-384. */
const scalarSize = 48;

export interface IdBlockInput {
  /** 48 bytes. */
  launchDigest: Buffer;
  /** 16 bytes of the owner's choice; zero unless told otherwise. */
  familyId?: Buffer;
  /** 16 bytes of the owner's choice; zero unless told otherwise. */
  imageId?: Buffer;
  /** Security version number, 32 bits; 0 unless told otherwise. */
  guestSvn?: number;
  /** Must equal the policy that the VM is started with; {@link defaultPolicy} unless told otherwise. */
  policy?: bigint;
}

/**
 * The 96-byte ID block. QEMU takes it as base64 in `id-block=`, and the platform refuses the launch unless
 * the digest and the policy are those of the block.
 * @throws MeasurementError for fields of a wrong size.
 */
export function idBlock(input: IdBlockInput): Buffer {
  const { launchDigest, familyId = Buffer.alloc(16), imageId = Buffer.alloc(16) } = input;
  const { guestSvn = 0, policy = defaultPolicy } = input;
  const sized = (name: string, bytes: Buffer, size: number) => {
    if (bytes.length === size) return bytes;
    throw new MeasurementError(
      `cannot build ID block: the ${name} has ${bytes.length} bytes, expected ${size}`,
    );
  };
  if (!Number.isInteger(guestSvn) || guestSvn < 0 || guestSvn >= 2 ** 32) {
    throw new MeasurementError(
      `cannot build ID block: guest SVN is ${guestSvn}, expected an unsigned 32-bit number`,
    );
  }
  if (policy < 0n || policy >= 2n ** 64n || !hasPolicyBit(policy, 'reserved')) {
    throw new MeasurementError(
      `cannot build ID block: policy is ${hex(policy)}, expected 64 bits with bit 17 set`,
    );
  }
  const bytes = Buffer.alloc(block.size);
  sized('launch digest', launchDigest, digestSize).copy(bytes, block.launchDigest);
  sized('family id', familyId, 16).copy(bytes, block.familyId);
  sized('image id', imageId, 16).copy(bytes, block.imageId);
  bytes.writeUInt32LE(blockVersion, block.version);
  bytes.writeUInt32LE(guestSvn, block.svn);
  bytes.writeBigUInt64LE(policy, block.policy);
  return bytes;
}

/**
 * The 4096-byte ID authentication page: the ID key signs the block, the author key signs the ID key. QEMU
 * takes it as base64 in `id-auth=`. Some SNP firmware refuses blocks without an author key, so give one.
 * @param block what {@link idBlock} returned
 * @param idKey P-384 private key
 * @param authorKey P-384 private key
 * @throws MeasurementError for keys of another kind.
 */
export function idAuth(block: Buffer, idKey: KeyObject, authorKey?: KeyObject): Buffer {
  const bytes = Buffer.alloc(auth.size);
  const idPublicKey = publicKeyBytes(idKey);
  bytes.writeUInt32LE(ecdsaP384, auth.idKeyAlgorithm);
  signatureBytes(block, idKey).copy(bytes, auth.idBlockSignature);
  idPublicKey.copy(bytes, auth.idKey);
  if (authorKey !== undefined) {
    bytes.writeUInt32LE(ecdsaP384, auth.authorKeyAlgorithm);
    signatureBytes(idPublicKey, authorKey).copy(bytes, auth.idKeySignature);
    publicKeyBytes(authorKey).copy(bytes, auth.authorKey);
  }
  return bytes;
}

/**
 * SHA-384 of a key's 1028-byte structure: ID_KEY_DIGEST or AUTHOR_KEY_DIGEST of an attestation report.
 * @param key P-384, private or public
 */
export function idKeyDigest(key: KeyObject): Buffer {
  return hash('sha384', publicKeyBytes(key), 'buffer');
}

/**
 * The 1028-byte structure that holds a public key.
 * @param key P-384, private or public
 */
export function publicKeyBytes(key: KeyObject): Buffer {
  if (key.asymmetricKeyType !== 'ec' || key.asymmetricKeyDetails?.namedCurve !== 'secp384r1') {
    const kind = key.asymmetricKeyDetails?.namedCurve ?? key.asymmetricKeyType ?? key.type;
    throw new MeasurementError(`cannot use ID key: it is ${kind}, expected an EC key on P-384 (secp384r1)`);
  }
  // The private half stays inside of its key object.
  const { x, y } = (key.type === 'private' ? createPublicKey(key) : key).export({ format: 'jwk' });
  const bytes = Buffer.alloc(publicKey.size);
  bytes.writeUInt32LE(curveP384, publicKey.curve);
  littleEndian(Buffer.from(x!, 'base64url')).copy(bytes, publicKey.x);
  littleEndian(Buffer.from(y!, 'base64url')).copy(bytes, publicKey.y);
  return bytes;
}

function signatureBytes(data: Buffer, key: KeyObject): Buffer {
  // R and S at fixed width; DER would drop leading zero bytes.
  const fixed = sign('sha384', data, { key, dsaEncoding: 'ieee-p1363' });
  const bytes = Buffer.alloc(signature.size);
  littleEndian(fixed.subarray(0, scalarSize)).copy(bytes, signature.r);
  littleEndian(fixed.subarray(scalarSize)).copy(bytes, signature.s);
  return bytes;
}

/** A big-endian number, at most 48 bytes, as exactly 48 little-endian ones. */
function littleEndian(number: Buffer): Buffer {
  const bytes = Buffer.alloc(scalarSize);
  Buffer.from(number).reverse().copy(bytes);
  return bytes;
}

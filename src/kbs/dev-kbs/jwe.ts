import {
  createCipheriv,
  createHash,
  createPublicKey,
  diffieHellman,
  generateKeyPairSync,
  type KeyObject,
  randomBytes,
} from 'node:crypto';

/** A P-256 public key as a JWK. */
export interface P256PublicKey {
  kty: 'EC';
  crv: 'P-256';
  x: string;
  y: string;
}

/** Flattened JWE (RFC 7516 section 7.2.2); every value is base64url without padding. */
export interface FlattenedJwe {
  protected: string;
  encrypted_key: string;
  iv: string;
  ciphertext: string;
  tag: string;
}

const algorithm = 'ECDH-ES+A256KW';

/** Parses a public key; throws where the point is not on the curve. */
export function importP256(jwk: P256PublicKey): KeyObject {
  return createPublicKey({ key: { ...jwk }, format: 'jwk' });
}

/** A 32-bit big-endian number. */
function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

/**
 * Concat KDF with SHA-256 for 256 bits (RFC 7518 section 4.6.2): one round; AlgorithmID is the algorithm's name,
 * PartyUInfo and PartyVInfo are empty, SuppPubInfo is the key length in bits.
 */
function concatKdf(shared: Buffer): Buffer {
  const algorithmId = [uint32(algorithm.length), Buffer.from(algorithm, 'ascii')];
  const info = [...algorithmId, uint32(0), uint32(0), uint32(256)];
  return createHash('sha256')
    .update(Buffer.concat([uint32(1), shared, ...info]))
    .digest();
}

/** AES key wrap (RFC 3394) with its default initial value. */
function wrapKey(wrappingKey: Buffer, key: Buffer): Buffer {
  const cipher = createCipheriv('id-aes256-wrap', wrappingKey, Buffer.alloc(8, 0xa6));
  return Buffer.concat([cipher.update(key), cipher.final()]);
}

/**
 * Encrypts for one recipient: ECDH-ES with AES-256 key wrap, AES-256-GCM.
 * The protected header's members stand in this order on purpose: the usual client, in Rust, authenticates the
 * header as it would have written it itself, and can open no other order.
 */
export function encryptJwe(plaintext: Buffer, recipient: P256PublicKey): FlattenedJwe {
  const ephemeral = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const { x, y } = ephemeral.publicKey.export({ format: 'jwk' });
  const header = { alg: algorithm, enc: 'A256GCM', epk: { crv: 'P-256', kty: 'EC', x, y } };
  const protectedHeader = Buffer.from(JSON.stringify(header)).toString('base64url');
  const shared = diffieHellman({ privateKey: ephemeral.privateKey, publicKey: importP256(recipient) });
  const contentKey = randomBytes(32);
  const encryptedKey = wrapKey(concatKdf(shared), contentKey);
  const iv = randomBytes(12);
  const cipher = createCipheriv('aes-256-gcm', contentKey, iv).setAAD(Buffer.from(protectedHeader, 'ascii'));
  const ciphertext = Buffer.concat([cipher.update(plaintext), cipher.final()]);
  return {
    protected: protectedHeader,
    encrypted_key: encryptedKey.toString('base64url'),
    iv: iv.toString('base64url'),
    ciphertext: ciphertext.toString('base64url'),
    tag: cipher.getAuthTag().toString('base64url'),
  };
}

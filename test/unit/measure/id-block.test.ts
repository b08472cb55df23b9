import {
  createECDH,
  createHash,
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  type KeyObject,
  verify,
} from 'node:crypto';
import { describe, expect, it } from 'vitest';
import {
  idAuth,
  idBlock,
  idKeyDigest,
  MeasurementError,
  publicKeyBytes,
} from '../../../src/measure/index.ts';
import { type IdBlockVector, vectorsFile } from './vectors.ts';

/** The P-384 private key with a given scalar. */
function keyOf(scalarHex: string): KeyObject {
  const ecdh = createECDH('secp384r1');
  ecdh.setPrivateKey(Buffer.from(scalarHex, 'hex'));
  const point = ecdh.getPublicKey();
  const base64url = (bytes: Buffer) => bytes.toString('base64url');
  const jwk = {
    kty: 'EC',
    crv: 'P-384',
    d: base64url(Buffer.from(scalarHex.padStart(96, '0'), 'hex')),
    x: base64url(point.subarray(1, 49)),
    y: base64url(point.subarray(49)),
  };
  return createPrivateKey({ key: jwk, format: 'jwk' });
}

const hex = (text: string) => Buffer.from(text, 'hex');
const sha256 = (bytes: Buffer) => createHash('sha256').update(bytes).digest('hex');

function blockOf(vector: IdBlockVector): Buffer {
  return idBlock({
    launchDigest: hex(vector.launch_digest),
    familyId: hex(vector.family_id),
    imageId: hex(vector.image_id),
    guestSvn: vector.guest_svn,
    policy: BigInt(vector.policy),
  });
}

/** A signature of the authentication page, as the big-endian R and S that Node verifies. */
function signatureAt(page: Buffer, offset: number): Buffer {
  const number = (at: number) => Buffer.from(page.subarray(at, at + 48)).reverse();
  return Buffer.concat([number(offset), number(offset + 72)]);
}

const verifies = (key: KeyObject, data: Buffer, signature: Buffer) =>
  verify('sha384', data, { key: createPublicKey(key), dsaEncoding: 'ieee-p1363' }, signature);

/** ECDSA is randomised: what is left when R and S of both signatures are blanked can be compared. */
function withoutSignatures(page: Buffer): Buffer {
  const copy = Buffer.from(page);
  copy.fill(0, 0x40, 0xd0);
  copy.fill(0, 0x680, 0x710);
  return copy;
}

const digest = Buffer.alloc(48, 1);

describe('ID block', () => {
  it.each(vectorsFile.id_block.vectors)('$id: the block and the key digests agree', (vector) => {
    expect(blockOf(vector).toString('base64')).toBe(vector.id_block_base64);
    const idKey = keyOf(vector.id_key_scalar_hex);
    expect(sha256(publicKeyBytes(idKey))).toBe(vector.id_key_pub_sha256);
    expect(idKeyDigest(idKey).toString('hex')).toBe(vector.id_key_digest);
    expect(idKeyDigest(createPublicKey(idKey)).toString('hex')).toBe(vector.id_key_digest);
    if (vector.author_key_scalar_hex !== undefined) {
      expect(idKeyDigest(keyOf(vector.author_key_scalar_hex)).toString('hex')).toBe(vector.author_key_digest);
    }
  });

  it.each(vectorsFile.id_block.vectors)('$id: both signatures verify, all other bytes agree', (vector) => {
    const block = blockOf(vector);
    const idKey = keyOf(vector.id_key_scalar_hex);
    const authorKey =
      vector.author_key_scalar_hex === undefined ? undefined : keyOf(vector.author_key_scalar_hex);
    const sample = Buffer.from(vector.sample_id_auth_base64, 'base64');
    const ours = idAuth(block, idKey, authorKey);
    expect(withoutSignatures(ours).equals(withoutSignatures(sample))).toBe(true);
    for (const page of [ours, sample]) {
      expect(verifies(idKey, block, signatureAt(page, 0x40))).toBe(true);
      if (authorKey !== undefined) {
        expect(verifies(authorKey, publicKeyBytes(idKey), signatureAt(page, 0x680))).toBe(true);
      }
    }
  });

  it('leaves the author half zero without an author key', () => {
    const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-384' });
    const page = idAuth(idBlock({ launchDigest: digest }), privateKey);
    expect(page).toHaveLength(4096);
    expect(page.readUInt32LE(4)).toBe(0);
    expect(page.subarray(0x680).every((byte) => byte === 0)).toBe(true);
  });

  it('signs at fixed width: numbers with leading zero bytes verify too', () => {
    const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-384' });
    const block = idBlock({ launchDigest: digest });
    // One signature in 128 has such a number.
    for (let round = 0; round < 300; round++) {
      expect(verifies(privateKey, block, signatureAt(idAuth(block, privateKey), 0x40))).toBe(true);
    }
  });

  it('has zero ids, SVN 0 and the default policy unless told otherwise', () => {
    const block = idBlock({ launchDigest: digest });
    expect(block.subarray(0x30, 0x50).every((byte) => byte === 0)).toBe(true);
    expect(block.readUInt32LE(0x54)).toBe(0);
    expect(block.readBigUInt64LE(0x58)).toBe(0x30000n);
  });

  it.each([
    ['a short digest', { launchDigest: Buffer.alloc(32) }, /launch digest has 32 bytes, expected 48/],
    [
      'a long image id',
      { launchDigest: digest, imageId: Buffer.alloc(17) },
      /image id has 17 bytes, expected 16/,
    ],
    ['a negative SVN', { launchDigest: digest, guestSvn: -1 }, /guest SVN is -1/],
    ['a policy without the reserved bit', { launchDigest: digest, policy: 0x10000n }, /bit 17/],
    ['a policy of 65 bits', { launchDigest: digest, policy: (1n << 64n) | 0x30000n }, /64 bits/],
  ])('refuses %s', (_name, input, message) => {
    expect(() => idBlock(input)).toThrow(MeasurementError);
    expect(() => idBlock(input)).toThrow(message);
  });

  it.each([
    ['P-256', generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey],
    ['Ed25519', generateKeyPairSync('ed25519').privateKey],
    ['RSA', generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey],
  ])('refuses a key on %s', (_name, key) => {
    expect(() => idAuth(idBlock({ launchDigest: digest }), key)).toThrow(/expected an EC key on P-384/);
  });
});

import { createPublicKey, generateKeyPairSync, type KeyObject, randomBytes, verify } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { idAuth, idBlock, idKeyDigest, publicKeyBytes } from '../../../src/measure/index.ts';
import { preparedPeer } from '../peer.ts';
import { upstreamCommand } from './upstream.ts';

const peer = preparedPeer('measure');
const newKey = () => generateKeyPairSync('ec', { namedCurve: 'P-384' }).privateKey;

/** A key whose X coordinate begins with a zero byte: one in 256. */
function keyWithShortCoordinate(): KeyObject {
  for (;;) {
    const key = newKey();
    if (Buffer.from(createPublicKey(key).export({ format: 'jwk' }).x!, 'base64url')[0] === 0) return key;
  }
}

/** A signature of an authentication page, as the big-endian R and S that Node verifies. */
function signatureAt(page: Buffer, offset: number): Buffer {
  const number = (at: number) => Buffer.from(page.subarray(at, at + 48)).reverse();
  return Buffer.concat([number(offset), number(offset + 72)]);
}

const verifies = (key: KeyObject, data: Buffer, signature: Buffer) =>
  verify('sha384', data, { key: createPublicKey(key), dsaEncoding: 'ieee-p1363' }, signature);

/** ECDSA is randomised: what is left when R and S of both signatures are blanked can be compared. */
function withoutSignatures(page: Buffer): string {
  return Buffer.from(page).fill(0, 0x40, 0xd0).fill(0, 0x680, 0x710).toString('hex');
}

describe.skipIf(peer === undefined)('beside snp-create-id-block', () => {
  let work = '';
  beforeAll(async () => {
    work = await mkdtemp(join(tmpdir(), 'cvm-peer-'));
  });
  afterAll(() => rm(work, { recursive: true }));

  async function upstreamPair(launchDigest: Buffer, idKey: KeyObject, authorKey: KeyObject) {
    const write = async (name: string, key: KeyObject) => {
      const path = join(work, name);
      await writeFile(path, key.export({ type: 'pkcs8', format: 'pem' }), { mode: 0o600 });
      return path;
    };
    const printed = await upstreamCommand(peer!, 'snp-create-id-block', [
      ...['--measurement', launchDigest.toString('base64')],
      ...['--idkey', await write('id.pem', idKey)],
      ...['--authorkey', await write('author.pem', authorKey)],
    ]);
    const found = /^id-block=(\S+),id-auth=(\S+)\nid_key_hash: (\S+)\nauthor_key: (\S+)$/.exec(printed);
    expect(found, printed).not.toBeNull();
    const [block, auth, idDigest, authorDigest] = found!.slice(1).map((text) => Buffer.from(text, 'base64'));
    return { block: block!, auth: auth!, idDigest: idDigest!, authorDigest: authorDigest! };
  }

  it.each([
    ['any keys', newKey, newKey],
    ['an ID key with a leading zero byte', keyWithShortCoordinate, newKey],
    ['an author key with a leading zero byte', newKey, keyWithShortCoordinate],
  ])('block, keys and their digests agree, and both signatures of each verify: %s', async (_, newIdKey, newAuthorKey) => {
    const launchDigest = randomBytes(48);
    const [idKey, authorKey] = [newIdKey(), newAuthorKey()];
    const upstream = await upstreamPair(launchDigest, idKey, authorKey);
    const block = idBlock({ launchDigest });
    expect(block.toString('hex')).toBe(upstream.block.toString('hex'));
    expect(idKeyDigest(idKey).toString('hex')).toBe(upstream.idDigest.toString('hex'));
    expect(idKeyDigest(authorKey).toString('hex')).toBe(upstream.authorDigest.toString('hex'));
    const auth = idAuth(block, idKey, authorKey);
    expect(withoutSignatures(auth)).toBe(withoutSignatures(upstream.auth));
    for (const page of [auth, upstream.auth]) {
      expect(verifies(idKey, block, signatureAt(page, 0x40))).toBe(true);
      expect(verifies(authorKey, publicKeyBytes(idKey), signatureAt(page, 0x680))).toBe(true);
    }
  });
});

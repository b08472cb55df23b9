import { createDecipheriv, createHash, diffieHellman, generateKeyPairSync } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { adminToken } from '../../../../src/kbs/client/admin-token.ts';
import { encryptJwe, importP256, type P256PublicKey } from '../../../../src/kbs/dev-kbs/jwe.ts';
import { signJwt, verifyJwt } from '../../../../src/kbs/jwt.ts';

describe('JWE', () => {
  const pair = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const recipient = pair.publicKey.export({ format: 'jwk' }) as P256PublicKey;

  test('the protected header is compact JSON with its members in the order that the usual client rebuilds', () => {
    const header = Buffer.from(encryptJwe(Buffer.from('x'), recipient).protected, 'base64url').toString();
    expect(header).toMatch(
      /^\{"alg":"ECDH-ES\+A256KW","enc":"A256GCM","epk":\{"crv":"P-256","kty":"EC","x":"[\w-]{43}","y":"[\w-]{43}"\}\}$/,
    );
  });

  test('the holder of the key opens it by RFC 7518', () => {
    const jwe = encryptJwe(Buffer.from('the resource'), recipient);
    const { epk } = JSON.parse(Buffer.from(jwe.protected, 'base64url').toString());
    const shared = diffieHellman({ privateKey: pair.privateKey, publicKey: importP256(epk) });
    const name = Buffer.from('0000000e454344482d45532b413235364b57', 'hex'); // "ECDH-ES+A256KW" and its length
    const otherInfo = Buffer.concat([name, Buffer.alloc(8), Buffer.from('00000100', 'hex')]);
    const round = Buffer.concat([Buffer.from('00000001', 'hex'), shared, otherInfo]);
    const wrappingKey = createHash('sha256').update(round).digest();
    const unwrap = createDecipheriv('id-aes256-wrap', wrappingKey, Buffer.alloc(8, 0xa6));
    const contentKey = Buffer.concat([
      unwrap.update(Buffer.from(jwe.encrypted_key, 'base64url')),
      unwrap.final(),
    ]);
    const decipher = createDecipheriv('aes-256-gcm', contentKey, Buffer.from(jwe.iv, 'base64url'))
      .setAAD(Buffer.from(jwe.protected))
      .setAuthTag(Buffer.from(jwe.tag, 'base64url'));
    const plain = Buffer.concat([
      decipher.update(Buffer.from(jwe.ciphertext, 'base64url')),
      decipher.final(),
    ]);
    expect(plain.toString()).toBe('the resource');
  });

  test('a point that is not on the curve is refused', () => {
    expect(() => importP256({ ...recipient, x: recipient.y, y: recipient.x })).toThrow();
  });
});

describe('tokens', () => {
  const ed25519 = generateKeyPairSync('ed25519');
  const p256 = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const now = 1_800_000_000;
  const expected = { algorithm: 'ES256', key: p256.publicKey, now, leeway: 0 } as const;

  test('an administrator token has exp and role, no aud, and verifies', () => {
    const token = adminToken({ key: ed25519.privateKey, now: now * 1000 });
    const claims = verifyJwt(token, { algorithm: 'EdDSA', key: ed25519.publicKey, now, leeway: 0 });
    expect(claims).toEqual({ iss: 'cvm-builder', role: 'image-builder', iat: now, nbf: now, exp: now + 120 });
  });

  test('an administrator token needs an Ed25519 key', () => {
    expect(() => adminToken({ key: p256.privateKey })).toThrow(TypeError);
  });

  test('ES256 signatures are 64 bytes, r and s side by side', () => {
    const token = signJwt('ES256', p256.privateKey, { exp: now + 1 });
    expect(Buffer.from(token.split('.')[2]!, 'base64url').length).toBe(64);
    expect(verifyJwt(token, expected)).toEqual({ exp: now + 1 });
  });

  test.each([
    ['expired', { exp: now }],
    ['expired', {}],
    ['expired', { exp: String(now + 10) }],
    ['not valid yet', { exp: now + 10, nbf: now + 5 }],
    ['not valid yet', { exp: now + 10, iat: now + 5 }],
  ])('is refused as %s: %j', (reason, claims) => {
    expect(() => verifyJwt(signJwt('ES256', p256.privateKey, claims), expected)).toThrow(reason);
  });

  test('a token signed by the key in its own header is refused', () => {
    const forger = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    const jwk = forger.publicKey.export({ format: 'jwk' });
    const token = signJwt('ES256', forger.privateKey, { exp: now + 10 }, { jwk });
    expect(() => verifyJwt(token, expected)).toThrow('another key');
  });

  test('a token without signature, or with another algorithm, is refused', () => {
    const part = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url');
    const payload = part({ exp: now + 10 });
    expect(() => verifyJwt(`${part({ alg: 'none' })}.${payload}.`, expected)).toThrow('not a signed token');
    expect(() => verifyJwt(`${part({ alg: 'none' })}.${payload}.AA`, expected)).toThrow('another algorithm');
    const signed = signJwt('EdDSA', ed25519.privateKey, { exp: now + 10 });
    expect(() => verifyJwt(signed, expected)).toThrow('another algorithm');
  });

  test('a changed claim is noticed', () => {
    const [header, , signature] = signJwt('ES256', p256.privateKey, { exp: now + 10 }).split('.');
    const payload = Buffer.from(JSON.stringify({ exp: now + 9999 })).toString('base64url');
    expect(() => verifyJwt(`${header}.${payload}.${signature}`, expected)).toThrow('another key');
  });
});

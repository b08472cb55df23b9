import { createPublicKey, type JsonWebKey, type KeyObject, verify } from 'node:crypto';

export type Claims = Record<string, unknown>;

/** Hash by signature algorithm (RFC 7518 section 3.1, RFC 8037); EdDSA hashes by itself. */
const hashes: Record<string, string | null> = {
  EdDSA: null,
  ES256: 'sha256',
  ES384: 'sha384',
  RS256: 'sha256',
  RS384: 'sha384',
  RS512: 'sha512',
};

/** A key's own algorithms, so that no header picks one that the key is not for. */
const keyTypes: Record<string, RegExp> = { ed25519: /^EdDSA$/, ec: /^ES/, rsa: /^RS/ };

/** The token of an `Authorization: Bearer …` header. */
export function bearerToken(authorization: string | undefined): string | undefined {
  return /^Bearer +([^\s]+)$/i.exec(authorization ?? '')?.[1];
}

/**
 * The parts of a signed token, and nothing but its signature checked: what else counts differs between brokers.
 * @param key the key, or how to find it from the token's header and claims.
 * @throws Error with the reason.
 */
export function openSigned(
  token: string,
  key: KeyObject | ((header: Claims, claims: Claims) => KeyObject),
): { header: Claims; claims: Claims } {
  const match = /^([\w-]+)\.([\w-]+)\.([\w-]+)$/.exec(token);
  if (match === null) throw new Error('not a signed token');
  const [, head, payload, signature] = match as unknown as [string, string, string, string];
  const header = parsePart(head);
  const claims = parsePart(payload);
  const alg = String(header.alg);
  const hash = hashes[alg];
  const signer = typeof key === 'function' ? key(header, claims) : key;
  if (hash === undefined || !keyTypes[signer.asymmetricKeyType ?? '']?.test(alg)) {
    throw new Error('signed with another algorithm');
  }
  const bytes = Buffer.from(`${head}.${payload}`);
  const encoded = { key: signer, dsaEncoding: 'ieee-p1363' as const };
  if (!verify(hash, bytes, encoded, Buffer.from(signature, 'base64url'))) {
    throw new Error('signed with another key');
  }
  return { header, claims };
}

/** What a token's header says it is signed with, unverified; undefined where it is no token. */
export function jwtAlgorithm(token: string): unknown {
  try {
    return parsePart(token.split('.', 1)[0]!).alg;
  } catch {
    return undefined;
  }
}

/** The key that a token brings along in its member `jwk`, of the header or of the claims. @throws Error */
export function keyWithin({ jwk }: Claims): KeyObject {
  try {
    return createPublicKey({ key: jwk as JsonWebKey, format: 'jwk' });
  } catch {
    throw new Error('no usable key within');
  }
}

function parsePart(part: string): Claims {
  const value: unknown = JSON.parse(Buffer.from(part, 'base64url').toString('utf8'));
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new Error('not a JSON object');
  }
  return value as Claims;
}

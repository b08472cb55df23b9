import { type KeyObject, sign, verify } from 'node:crypto';

/** The signature algorithms used here: Ed25519, ECDSA on P-256 with SHA-256, and RSA (PKCS#1 v1.5) with SHA-384. */
export type JwtAlgorithm = 'EdDSA' | 'ES256' | 'RS384';

type Claims = Record<string, unknown>;

const digestOf = { EdDSA: null, ES256: 'sha256', RS384: 'sha384' } as const;
/** ES256 signatures are r and s side by side (RFC 7518 section 3.4), not DER. */
const withEncoding = (key: KeyObject) => ({ key, dsaEncoding: 'ieee-p1363' as const });

/** Makes a signed token; `header` holds members besides `typ` and `alg`. */
export function signJwt(
  algorithm: JwtAlgorithm,
  key: KeyObject,
  claims: Claims,
  header: Claims = {},
): string {
  const part = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url');
  const signed = `${part({ typ: 'JWT', alg: algorithm, ...header })}.${part(claims)}`;
  return `${signed}.${sign(digestOf[algorithm], Buffer.from(signed), withEncoding(key)).toString('base64url')}`;
}

/**
 * The claims of a token signed by this very key; a key inside the token is never looked at. `exp` must be there.
 * @param now seconds since 1970.
 * @param leeway seconds that the two clocks may differ by.
 * @throws Error with the reason.
 */
export function verifyJwt(
  token: string,
  expected: { algorithm: JwtAlgorithm; key: KeyObject; now: number; leeway: number },
): Claims {
  const match = /^([\w-]+)\.([\w-]+)\.([\w-]+)$/.exec(token);
  if (match === null) throw new Error('not a signed token');
  const [, header, payload, signature] = match as unknown as [string, string, string, string];
  if (parsePart(header).alg !== expected.algorithm) throw new Error('signed with another algorithm');
  const bytes = Buffer.from(`${header}.${payload}`);
  const key = withEncoding(expected.key);
  if (!verify(digestOf[expected.algorithm], bytes, key, Buffer.from(signature, 'base64url'))) {
    throw new Error('signed with another key');
  }
  const claims = parsePart(payload);
  const { exp, nbf, iat } = claims;
  if (typeof exp !== 'number' || exp + expected.leeway <= expected.now) throw new Error('expired');
  for (const start of [nbf, iat]) {
    if (start === undefined) continue;
    if (typeof start !== 'number' || start - expected.leeway > expected.now) throw new Error('not valid yet');
  }
  return claims;
}

function parsePart(part: string): Claims {
  const value: unknown = JSON.parse(Buffer.from(part, 'base64url').toString('utf8'));
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw new Error('not a JSON object');
  return value as Claims;
}

import { generateKeyPairSync } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { adminToken } from '../../../../src/kbs/client/admin-token.ts';
import { type AdminRules, parseAccess } from '../../../../src/kbs/dev-kbs/admin/rules.ts';
import { eras } from '../../../../src/kbs/dev-kbs/era/index.ts';
import { Refusal } from '../../../../src/kbs/dev-kbs/refusal.ts';
import { signJwt } from '../../../../src/kbs/jwt.ts';

const { privateKey, publicKey } = generateKeyPairSync('ed25519');
const rules: AdminRules = {
  key: publicKey,
  insecureApi: false,
  headerKeys: false,
  access: parseAccess(),
  issuer: undefined,
  audience: undefined,
};
const now = 1_800_000_000;

/** Whether an era lets an Authorization header pass: `yes`, or why not. */
function judge(era: 'field' | 'main', authorization: string | undefined, changes: Partial<AdminRules> = {}) {
  try {
    eras[era].checkAdmin(authorization, { ...rules, ...changes }, now, '/kbs/v0/resource-policy');
    return 'yes';
  } catch (error) {
    expect(error).toBeInstanceOf(Refusal);
    expect((error as Refusal).type).toBe('AdminAuth');
    return (error as Refusal).reason;
  }
}

const bearer = (claims: Record<string, unknown>, key = privateKey) =>
  `Bearer ${signJwt('EdDSA', key, claims)}`;
const role = 'image-builder';
const sound = { role, iat: now, nbf: now, exp: now + 120 };

test("the builder's own token passes in both eras", () => {
  const authorization = `Bearer ${adminToken({ key: privateKey, now: now * 1000 })}`;
  expect([judge('field', authorization), judge('main', authorization)]).toEqual(['yes', 'yes']);
});

describe('what the two eras make of a token', () => {
  test.each<[string, Record<string, unknown>, field: string, main: string]>([
    ['no exp', { role, iat: now }, 'yes', 'no exp'],
    ['exp as a text', { ...sound, exp: String(now + 120) }, 'a time is not a number', 'no exp'],
    ['no role', { ...sound, role: undefined }, 'yes', 'no role'],
    ['another role', { ...sound, role: 'reader' }, 'yes', 'the role may not do this'],
    ['an audience', { ...sound, aud: 'kbs' }, 'yes', 'aud, and no audience is configured'],
    ['an empty list of audiences', { ...sound, aud: [] }, 'yes', 'yes'],
    ['expired for a minute', { ...sound, exp: now - 60 }, 'yes', 'yes'],
    ['expired for 61 seconds', { ...sound, exp: now - 61 }, 'yes', 'expired'],
    ['expired for 15 minutes', { ...sound, exp: now - 900 }, 'yes', 'expired'],
    ['expired for longer', { ...sound, exp: now - 901 }, 'expired', 'expired'],
    ['nbf in 15 minutes', { ...sound, nbf: now + 900, exp: now + 9999 }, 'yes', 'yes'],
    ['nbf later', { ...sound, nbf: now + 901, exp: now + 9999 }, 'not valid yet', 'yes'],
    ['iat later', { ...sound, iat: now + 901, exp: now + 9999 }, 'not valid yet', 'yes'],
  ])('%s', (_, claims, field, main) => {
    expect([judge('field', bearer(claims)), judge('main', bearer(claims))]).toEqual([field, main]);
  });

  test.each(['field', 'main'] as const)('%s refuses what is no token of its administrator', (era) => {
    expect(judge(era, undefined)).toBe('no bearer token');
    expect(judge(era, 'Basic YTpi')).toBe('no bearer token');
    expect(judge(era, 'Bearer a.b')).toBe('not a signed token');
    expect(judge(era, bearer(sound, generateKeyPairSync('ed25519').privateKey))).toBe(
      'signed with another key',
    );
    const p256 = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    expect(judge(era, `Bearer ${signJwt('ES256', p256.privateKey, sound)}`)).toBe(
      'signed with another algorithm',
    );
    const unsigned = [{ alg: 'none' }, sound].map((part) =>
      Buffer.from(JSON.stringify(part)).toString('base64url'),
    );
    expect(judge(era, `Bearer ${unsigned.join('.')}.`)).toBe('not a signed token');
    expect(judge(era, `Bearer ${unsigned.join('.')}.AAAA`)).toBe('signed with another algorithm');
  });

  test('main compares issuer and audience where they are configured', () => {
    const configured = { issuer: 'builder', audience: 'kbs' };
    const withClaims = (claims: object) => judge('main', bearer({ ...sound, ...claims }), configured);
    expect(withClaims({ iss: 'builder', aud: 'kbs' })).toBe('yes');
    expect(withClaims({ iss: 'builder', aud: ['other', 'kbs'] })).toBe('yes');
    expect(withClaims({ iss: 'other', aud: 'kbs' })).toBe('another issuer');
    expect(withClaims({ aud: 'kbs' })).toBe('another issuer');
    expect(withClaims({ iss: 'builder' })).toBe('another audience');
  });
});

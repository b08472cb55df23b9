import { createPrivateKey, generateKeyPairSync } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { describe, expect, test } from 'vitest';
import { adminToken } from '../../../src/kbs/client/admin-token.ts';
import {
  forgedTokens,
  selfMadeAdminToken,
  strangersAdminToken,
} from '../../../src/kbs/client/forged-tokens.ts';
import type { DevelopmentKbsOptions } from '../../../src/kbs/dev-kbs/index.ts';
import { signJwt } from '../../../src/kbs/jwt.ts';
import {
  admin,
  ask,
  challenge,
  evidence,
  type Fixture,
  fixture,
  guestKey,
  handshake,
  refusalOf,
} from './development-kbs.ts';

/** A token that nobody but its own header vouches for. */
function forged(measurement: string, changes: Record<string, unknown> = {}): string {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const snp = { measurement, policy_debug_allowed: false, policy_migrate_ma: false };
  const annotated = { snp, runtime_data_claims: { 'tee-pubkey': guestKey().jwk } };
  const claims = {
    exp: Math.floor(Date.now() / 1000) + 300,
    submods: { cpu0: { 'ear.veraison.annotated-evidence': annotated } },
    ...changes,
  };
  return signJwt('ES256', privateKey, claims, {
    jwk: { ...publicKey.export({ format: 'jwk' }), alg: 'ES256' },
  });
}

/** Asks for a resource with a forged token; `released` or the refusal's name. */
async function steal({ kbs, image }: Fixture, token: string, path = image.resourcePath): Promise<string> {
  const headers = { authorization: `Bearer ${token}` };
  const reply = await ask(kbs, 'GET', `/kbs/v0/resource/${path}`, { headers });
  return reply.status === 200 ? 'released' : refusalOf(reply);
}

describe.each(['field', 'main'] as const)('%s', (era) => {
  const start = (options: Partial<DevelopmentKbsOptions> = {}) =>
    fixture({ era, inMemory: true, ...options });

  test('a forged token is refused by a safe broker, whatever it claims', async () => {
    await using site = await start();
    expect(await steal(site, forged(site.image.digests[0]!.hex))).toBe('TokenVerifierError');
    expect(await steal(site, 'no.token.x')).toBe('TokenVerifierError');
  });

  test('with insecure tokens it opens everything its claims suit', async () => {
    await using site = await start({ insecureTokens: true });
    const { hex } = site.image.digests[0]!;
    expect(await steal(site, forged(hex))).toBe('released');
    expect(await steal(site, forged(Buffer.from(hex, 'hex').toString('base64')))).toBe('released');
    expect(await steal(site, forged('0'.repeat(96)))).toBe('PolicyDeny');
    expect(await steal(site, forged(hex), 'cvm/probe/none')).toBe('PolicyDeny');
    expect(await steal(site, forged(hex, { exp: 1 }))).toBe('TokenVerifierError');
    expect(await steal(site, forged(hex, { submods: {} }))).toBe('PolicyDeny');
    expect(
      await steal(site, signJwt('ES256', generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey, {})),
    ).toBe('TokenVerifierError');
    expect(site.kbs.requests.released).toBe(2);
    expect(site.log.at(0)).toMatch(/ 200 attested$/);
  });

  test('a token whose signature does not fit its own header is refused all the same', async () => {
    await using site = await start({ insecureTokens: true });
    const [header, payload] = forged(site.image.digests[0]!.hex).split('.');
    const signature = forged('other').split('.')[2];
    expect(await steal(site, `${header}.${payload}.${signature}`)).toBe('TokenVerifierError');
  });

  test('the verifier CoCo takes RS384 tokens by the key among their claims, and besides only its own', async () => {
    await using site = await start({ cocoTokens: true });
    const { hex } = site.image.digests[0]!;
    const now = Math.floor(Date.now() / 1000);
    expect(await steal(site, forged(hex))).toBe('TokenVerifierError');
    const path = `/kbs/v0/resource/${site.image.resourcePath}`;
    const { cookie } = await handshake(site.kbs);
    expect((await ask(site.kbs, 'GET', path, { headers: { cookie } })).status).toBe(200);
    const [es256, rs384] = await forgedTokens(now);
    expect(await steal(site, es256)).toBe('TokenVerifierError');
    expect(await steal(site, rs384)).toBe('PolicyDeny');
    const [head, payload] = rs384.split('.');
    const another = (await forgedTokens(now))[1].split('.')[2];
    expect(await steal(site, `${head}.${payload}.${another}`)).toBe('TokenVerifierError');
    expect(await steal(site, (await forgedTokens(now - 20 * 365 * 86_400))[1])).toBe('TokenVerifierError');
    await using safe = await start();
    expect(await steal(safe, rs384)).toBe('TokenVerifierError');
  });

  test('its Date header can be the one of a proxy', async () => {
    const ahead = 3_600_000;
    await using site = await start({ now: () => Date.now() + ahead, dateHeader: Date.now });
    const { headers } = await ask(site.kbs, 'GET', '/kbs/v0/resource/a/b/c');
    expect(Math.abs(Date.parse(headers.date!) - Date.now())).toBeLessThan(5_000);
    const late = await ask(site.kbs, 'POST', '/kbs/v0/resource/a/b/c', {
      headers: await admin(site.kbs, { validSeconds: 60 }),
    });
    expect(late.status).toBe(401);
  });

  test('with an insecure API nobody is asked for a token', async () => {
    await using site = await start({ insecureApi: true });
    const reply = await ask(site.kbs, 'POST', '/kbs/v0/resource/a/b/c', { body: 'x' });
    expect([reply.status, reply.text]).toEqual([200, '']);
    expect(String(await site.kbs.received.resource('a/b/c'))).toBe('x');
    expect(site.log.at(-1)).toMatch(/ 200 none$/);
  });

  test('an honest sample handshake carries no SNP claims', async () => {
    await using site = await start({ claims: 'sample', digest: undefined });
    const { token, cookie } = await handshake(site.kbs);
    const payload = Buffer.from(token.split('.')[1]!, 'base64url').toString();
    expect(payload).toContain('"sample":{"svn":"1","launch_digest":"abcde"');
    expect(payload).not.toContain('"snp"');
    const path = `/kbs/v0/resource/${site.image.resourcePath}`;
    expect(refusalOf(await ask(site.kbs, 'GET', path, { headers: { cookie } }))).toBe('PolicyDeny');
  });

  test('the shipped policy denies sample evidence and lets every other have everything', async () => {
    await using site = await start({ shippedPolicy: true, claims: 'sample', insecureTokens: true });
    const { cookie } = await handshake(site.kbs);
    const path = `/kbs/v0/resource/${site.image.resourcePath}`;
    expect(refusalOf(await ask(site.kbs, 'GET', path, { headers: { cookie } }))).toBe('PolicyDeny');
    expect(await steal(site, forged('0'.repeat(96)))).toBe('released');
    // Allowed, and absent: the development KBS holds nothing but development images.
    expect(await steal(site, forged('0'.repeat(96)), 'cvm/probe/none')).toBe('PluginInternalError');
  });

  test('the first policy that is posted takes the place of the shipped one', async () => {
    await using site = await start({ shippedPolicy: true, insecureTokens: true });
    const own = await readFile(`${site.registryDirectory}/policy.rego`);
    const body = JSON.stringify({ policy: own.toString('base64url') });
    const headers = await admin(site.kbs);
    expect((await ask(site.kbs, 'POST', '/kbs/v0/resource-policy', { body, headers })).status).toBe(200);
    expect(await steal(site, forged('0'.repeat(96)))).toBe('PolicyDeny');
    expect(await steal(site, forged(site.image.digests[0]!.hex))).toBe('released');
  });

  test('without an engine an unknown policy is refused, not guessed at', async () => {
    await using site = await start();
    const body = JSON.stringify({
      policy: Buffer.from('package policy\nallow := true').toString('base64url'),
    });
    await ask(site.kbs, 'POST', '/kbs/v0/resource-policy', { body, headers: await admin(site.kbs) });
    const { cookie } = await handshake(site.kbs);
    const path = `/kbs/v0/resource/${site.image.resourcePath}`;
    const reply = await ask(site.kbs, 'GET', path, { headers: { cookie } });
    expect(refusalOf(reply)).toBe(era === 'field' ? 'PolicyEngine' : 'PolicyEngineError');
    expect(site.log.at(-1)).toContain('start with --opa');
  });

  test('what was posted wins over the key file that a build registered', async () => {
    await using site = await start();
    const path = `/kbs/v0/resource/${site.image.resourcePath}`;
    await ask(site.kbs, 'POST', path, { body: 'overwritten', headers: await admin(site.kbs) });
    const { cookie } = await handshake(site.kbs);
    const jwe = JSON.parse((await ask(site.kbs, 'GET', path, { headers: { cookie } })).text);
    expect(Buffer.from(jwe.ciphertext, 'base64url').length).toBe('overwritten'.length);
  });
});

test('sample claims need a sound handshake as well', async () => {
  await using site = await fixture({ claims: 'sample', inMemory: true });
  const { cookie } = await challenge(site.kbs);
  const body = JSON.stringify(evidence('another nonce', guestKey().jwk));
  const reply = await ask(site.kbs, 'POST', '/kbs/v0/attest', { body, headers: { cookie } });
  expect(refusalOf(reply)).toBe('AttestationError');
});

describe('administrators whose tokens bring their own key', () => {
  const own = { iss: 'cvm-builder', role: 'image-builder' };
  const now = Math.floor(Date.now() / 1000);
  const post = (kbs: Fixture['kbs'], token: string) =>
    ask(kbs, 'POST', '/kbs/v0/resource/a/b/c', {
      body: 'x',
      headers: { authorization: `Bearer ${token}` },
    });

  test('are believed with insecure_header_jwk, as far as issuer and role fit', async () => {
    await using site = await fixture({
      era: 'main',
      inMemory: true,
      insecureAdminTokens: true,
      adminIssuer: own.iss,
    });
    expect((await post(site.kbs, selfMadeAdminToken(own, now))).status).toBe(200);
    const cases = [
      selfMadeAdminToken({ ...own, iss: 'other' }, now),
      selfMadeAdminToken({ ...own, role: 'other' }, now),
      strangersAdminToken(own, now),
    ];
    for (const token of cases) expect((await post(site.kbs, token)).status).toBe(401);
    // The configured key counts as before.
    const headers = await admin(site.kbs);
    expect((await ask(site.kbs, 'POST', '/kbs/v0/resource/a/b/d', { headers })).status).toBe(200);
  });

  test.each(['field', 'main'] as const)('are refused by a %s broker without it', async (era) => {
    await using site = await fixture({ era, inMemory: true });
    expect((await post(site.kbs, selfMadeAdminToken(own, now))).status).toBe(401);
    expect(await site.kbs.received.resource('a/b/c')).toBeUndefined();
  });
});

describe('access lists of main', () => {
  test('a role reaches what its expression matches, query included, with every method', async () => {
    await using site = await fixture({
      era: 'main',
      inMemory: true,
      accessRules: [{ role: 'builder', allowedEndpoints: '^/kbs/v0/resource/keys/.+$' }],
    });
    const key = createPrivateKey(await readFile(site.kbs.adminKeyFile));
    const as = (role: string) => ({ authorization: `Bearer ${adminToken({ key, role })}` });
    const post = (path: string, role: string) =>
      ask(site.kbs, 'POST', `/kbs/v0/${path}`, { body: 'x', headers: as(role) });
    expect((await post('resource/keys/a/b', 'builder')).status).toBe(200);
    const other = await post('resource/others/a/b', 'builder');
    expect(refusalOf(other)).toBe('AdminAuthInitialization');
    expect(other.text).toContain('Admin access denied: Role not allowed');
    expect(refusalOf(await post('resource-policy', 'builder'))).toBe('AdminAuthAccess');
    expect(refusalOf(await post('resource/keys/a/b', 'image-builder'))).toBe('AdminAuthInitialization');
    const removed = await ask(site.kbs, 'DELETE', '/kbs/v0/resource/keys/a/b', { headers: as('builder') });
    expect(removed.status).toBe(200);
    expect(await site.kbs.received.resource('keys/a/b')).toBeUndefined();
  });

  test.each([
    '/kbs/v0/.*$',
    '^/kbs/v0/.*',
    '^/kbs/(v0$',
  ])('the expression %j is refused', async (allowedEndpoints) => {
    await expect(fixture({ era: 'main', accessRules: [{ role: 'a', allowedEndpoints }] })).rejects.toThrow(
      'cannot use the access rule',
    );
  });
});

import { createPrivateKey, generateKeyPairSync } from 'node:crypto';
import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { connect } from 'node:tls';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { adminToken } from '../../../src/kbs/client/admin-token.ts';
import { developmentCa, startDevelopmentKbs } from '../../../src/kbs/dev-kbs/index.ts';
import { signJwt } from '../../../src/kbs/jwt.ts';
import { addImage, retireImage } from '../../../src/kbs/registry/registry.ts';
import { digestOf, imageOf } from '../../unit/kbs/records.ts';
import {
  ask,
  challenge,
  evidence,
  type Fixture,
  fixture,
  guestKey,
  handshake,
  refusalOf,
  sampleRequest,
} from './development-kbs.ts';

let site: Fixture;

beforeAll(async () => {
  site = await fixture();
});

afterAll(() => site[Symbol.asyncDispose]());

beforeEach(() => {
  site.clock.ahead = 0;
});

const resource = () => `/kbs/v0/resource/${site.image.resourcePath}`;

describe('handshake', () => {
  test('a client that did everything right gets a JWE', async () => {
    const { cookie } = await handshake(site.kbs);
    const reply = await ask(site.kbs, 'GET', resource(), { headers: { cookie } });
    expect(reply.status).toBe(200);
    expect(Object.keys(JSON.parse(reply.text))).toEqual([
      'protected',
      'encrypted_key',
      'iv',
      'ciphertext',
      'tag',
    ]);
    expect(reply.text).not.toContain(site.key.reveal().toString('ascii'));
  });

  test('the token alone will do as well', async () => {
    const { token } = await handshake(site.kbs);
    const headers = { authorization: `Bearer ${token}` };
    expect((await ask(site.kbs, 'GET', resource(), { headers })).status).toBe(200);
  });

  test('the challenge and its cookie look as the real ones', async () => {
    const reply = await ask(site.kbs, 'POST', '/kbs/v0/auth', { body: JSON.stringify(sampleRequest) });
    expect(JSON.parse(reply.text)).toEqual({
      nonce: expect.stringMatching(/^[\w+/]{43}=$/),
      'extra-params': '',
    });
    expect(reply.headers['set-cookie']).toEqual([
      expect.stringMatching(/^kbs-session-id=[0-9a-f]{32}; Expires=\w{3}, .* GMT$/),
    ]);
  });

  test('no session: TokenNotFound, as the usual client expects before it attests', async () => {
    const reply = await ask(site.kbs, 'GET', resource());
    expect([reply.status, refusalOf(reply)]).toEqual([401, 'TokenNotFound']);
  });

  test('a session that was never attested is no right', async () => {
    const { cookie } = await challenge(site.kbs);
    const reply = await ask(site.kbs, 'GET', resource(), { headers: { cookie } });
    expect([reply.status, refusalOf(reply)]).toEqual([401, 'TokenNotFound']);
  });

  test('attesting again on an attested session gives the old token', async () => {
    const { cookie, token } = await handshake(site.kbs);
    const body = JSON.stringify(evidence('other', guestKey().jwk));
    const reply = await ask(site.kbs, 'POST', '/kbs/v0/attest', { body, headers: { cookie } });
    expect(JSON.parse(reply.text)).toEqual({ token });
  });

  test.each([
    ['another protocol version', { ...sampleRequest, version: '0.3.0' }, /Protocol Version Mismatch/],
    ['another TEE', { ...sampleRequest, tee: 'snp' }, /not supported/],
    ['no extra-params', { version: '0.4.0', tee: 'sample' }, /deserialize/],
    ['no object', [], /deserialize/],
  ])('%s is refused at the first step', async (_, request, message) => {
    const reply = await ask(site.kbs, 'POST', '/kbs/v0/auth', { body: JSON.stringify(request) });
    expect([reply.status, refusalOf(reply)]).toEqual([401, 'AttestationError']);
    expect(reply.text).toMatch(message);
    expect(reply.headers['set-cookie']).toBeUndefined();
  });

  describe('evidence is refused', () => {
    /** Sends altered evidence with a fresh challenge. */
    async function attest(
      alter: (body: ReturnType<typeof evidence>, nonce: string) => unknown,
      cookie?: string,
    ) {
      const fresh = await challenge(site.kbs);
      const body = JSON.stringify(alter(evidence(fresh.nonce, guestKey().jwk), fresh.nonce));
      const reply = await ask(site.kbs, 'POST', '/kbs/v0/attest', {
        body,
        headers: { cookie: cookie ?? fresh.cookie },
      });
      expect([reply.status, refusalOf(reply)]).toEqual([401, 'AttestationError']);
      const after = await ask(site.kbs, 'GET', resource(), { headers: { cookie: fresh.cookie } });
      expect(refusalOf(after)).toBe('TokenNotFound');
    }

    test('with the nonce of another session', async () => {
      const { nonce } = await challenge(site.kbs);
      await attest(() => evidence(nonce, guestKey().jwk));
    });

    test('with a key that the report data does not bind', () =>
      attest((body) => ({
        ...body,
        'runtime-data': { ...body['runtime-data'], 'tee-pubkey': guestKey().jwk },
      })));

    test('with zero report data', () =>
      attest((body) => {
        body['tee-evidence'].primary_evidence.report_data = Buffer.alloc(48).toString('base64');
        return body;
      }));

    test('with a key of another kind', () =>
      attest((_, nonce) => evidence(nonce, { ...guestKey().jwk, alg: 'RSA1_5' })));

    test('with a point that is not on the curve', () =>
      attest((_, nonce) => {
        const { jwk } = guestKey();
        return evidence(nonce, { ...jwk, x: jwk.y!, y: jwk.x! });
      }));

    test('with a cookie that names no session', () =>
      attest((body) => body, `kbs-session-id=${'0'.repeat(32)}`));
  });

  test('a session ends after five minutes, before and after attestation', async () => {
    const { cookie, token } = await handshake(site.kbs);
    const open = await challenge(site.kbs);
    site.clock.ahead = 5 * 60_000 + 1000;
    const bySession = await ask(site.kbs, 'GET', resource(), { headers: { cookie } });
    expect(refusalOf(bySession)).toBe('TokenNotFound');
    const byToken = await ask(site.kbs, 'GET', resource(), { headers: { authorization: `Bearer ${token}` } });
    expect(refusalOf(byToken)).toBe('TokenVerifierError');
    const body = JSON.stringify(evidence(open.nonce, guestKey().jwk));
    const late = await ask(site.kbs, 'POST', '/kbs/v0/attest', { body, headers: { cookie: open.cookie } });
    expect(refusalOf(late)).toBe('AttestationError');
  });

  test('a token that its own header vouches for is refused', async () => {
    const { token } = await handshake(site.kbs);
    const claims = JSON.parse(Buffer.from(token.split('.')[1]!, 'base64url').toString());
    const forger = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    const jwk = forger.publicKey.export({ format: 'jwk' });
    const forged = signJwt('ES256', forger.privateKey, claims, { jwk });
    const reply = await ask(site.kbs, 'GET', resource(), { headers: { authorization: `Bearer ${forged}` } });
    expect([reply.status, refusalOf(reply)]).toEqual([401, 'TokenVerifierError']);
  });

  test('without a launch digest no handshake succeeds', async () => {
    await using other = await fixture({ digest: undefined });
    const { nonce, cookie } = await challenge(other.kbs);
    const body = JSON.stringify(evidence(nonce, guestKey().jwk));
    const reply = await ask(other.kbs, 'POST', '/kbs/v0/attest', { body, headers: { cookie } });
    expect(refusalOf(reply)).toBe('AttestationError');
  });
});

describe('judgement by the registry', () => {
  test('the digest of another image opens nothing', async () => {
    await using other = await fixture({ digest: digestOf('another') });
    const { cookie } = await handshake(other.kbs);
    const path = `/kbs/v0/resource/${other.image.resourcePath}`;
    const reply = await ask(other.kbs, 'GET', path, { headers: { cookie } });
    expect([reply.status, refusalOf(reply)]).toEqual([401, 'PolicyDeny']);
  });

  test('an image opens its own path only', async () => {
    await addImage(site.registryDirectory, imageOf(2, { kind: 'development', keyFile: '/nonexistent' }));
    const { cookie } = await handshake(site.kbs);
    for (const path of [imageOf(2).resourcePath, 'keys/root/unknown', '../../etc/passwd', 'keys']) {
      const reply = await ask(site.kbs, 'GET', `/kbs/v0/resource/${path}`, { headers: { cookie } });
      expect([reply.status, path === '../../etc/passwd' ? 'PolicyDeny' : refusalOf(reply)]).toEqual([
        path === '../../etc/passwd' ? 404 : 401,
        'PolicyDeny',
      ]);
    }
  });

  test('a retired image gets nothing, at once', async () => {
    await using other = await fixture();
    const { cookie } = await handshake(other.kbs);
    const path = `/kbs/v0/resource/${other.image.resourcePath}`;
    expect((await ask(other.kbs, 'GET', path, { headers: { cookie } })).status).toBe(200);
    await retireImage(other.registryDirectory, other.image.id);
    expect(refusalOf(await ask(other.kbs, 'GET', path, { headers: { cookie } }))).toBe('PolicyDeny');
  });

  test('a production registry is not served', async () => {
    const registryDirectory = join(site.folder, 'production');
    await addImage(registryDirectory, imageOf(9));
    const stateDirectory = join(site.folder, 'state');
    await expect(startDevelopmentKbs({ stateDirectory, registryDirectory })).rejects.toThrow(
      'production registry',
    );
  });
});

describe('administration', () => {
  const policy = 'package policy\n\nimport rego.v1\n\ndefault allow := false\n';

  async function authorization(): Promise<{ authorization: string }> {
    const key = createPrivateKey(await readFile(site.kbs.adminKeyFile));
    return { authorization: `Bearer ${adminToken({ key })}` };
  }

  test('a policy is stored and read back', async () => {
    const headers = await authorization();
    const body = JSON.stringify({ policy: Buffer.from(policy).toString('base64url') });
    expect(await ask(site.kbs, 'POST', '/kbs/v0/resource-policy', { body, headers })).toMatchObject({
      status: 200,
      text: '',
    });
    const reply = await ask(site.kbs, 'GET', '/kbs/v0/resource-policy', { headers });
    expect(Buffer.from(reply.text, 'base64url').toString()).toBe(policy);
  });

  test('reference values are stored by name and read back', async () => {
    const headers = await authorization();
    for (const payload of [{ a: [1], b: true }, { a: [2] }]) {
      const encoded = Buffer.from(JSON.stringify(payload)).toString('base64');
      const body = JSON.stringify({ version: '0.1.0', type: 'sample', payload: encoded });
      expect((await ask(site.kbs, 'POST', '/kbs/v0/reference-value', { body, headers })).status).toBe(200);
    }
    const all = await ask(site.kbs, 'GET', '/kbs/v0/reference-value', { headers });
    expect(JSON.parse(all.text)).toEqual({ a: [2], b: true });
  });

  test('a key that was sent is released to its image', async () => {
    await using other = await fixture({ digest: digestOf('image 3') });
    await addImage(other.registryDirectory, imageOf(3, { kind: 'development' }));
    const path = `/kbs/v0/resource/${imageOf(3).resourcePath}`;
    const { cookie } = await handshake(other.kbs);
    expect(refusalOf(await ask(other.kbs, 'GET', path, { headers: { cookie } }))).toBe('PluginInternalError');
    const key = createPrivateKey(await readFile(other.kbs.adminKeyFile));
    const headers = { authorization: `Bearer ${adminToken({ key })}` };
    expect((await ask(other.kbs, 'POST', path, { body: 'k'.repeat(128), headers })).status).toBe(200);
    expect((await ask(other.kbs, 'GET', path, { headers: { cookie } })).status).toBe(200);
    const stored = join(other.folder, 'state/store/repository', imageOf(3).resourcePath);
    expect((await stat(stored)).mode & 0o777).toBe(0o600);
  });

  test.each([
    'a/b',
    'a/b/c/d',
    'a/../c',
    'a/b/.c',
    'a/b/%2e',
  ])('a resource at %j is refused', async (path) => {
    const reply = await ask(site.kbs, 'POST', `/kbs/v0/resource/${path}`, {
      body: 'x',
      headers: await authorization(),
    });
    expect([401, 404]).toContain(reply.status);
  });

  test.each([
    ['no token', () => undefined],
    ['another key', () => adminToken({ key: generateKeyPairSync('ed25519').privateKey })],
    ['an expired token', (key) => adminToken({ key, now: Date.now() - 3_600_000 })],
    ['a token from the future', (key) => adminToken({ key, now: Date.now() + 3_600_000 })],
  ] as [
    string,
    (key: ReturnType<typeof createPrivateKey>) => string | undefined,
  ][])('%s is refused everywhere, with nothing stored', async (_, make) => {
    const token = make(createPrivateKey(await readFile(site.kbs.adminKeyFile)));
    const headers = token === undefined ? {} : { authorization: `Bearer ${token}` };
    for (const [method, path] of [
      ['POST', '/resource/a/b/refused'],
      ['POST', '/resource-policy'],
      ['GET', '/resource-policy'],
      ['POST', '/reference-value'],
      ['GET', '/reference-value'],
    ]) {
      const reply = await ask(site.kbs, method!, `/kbs/v0${path}`, {
        body: method === 'POST' ? '{}' : '',
        headers,
      });
      expect([reply.status, refusalOf(reply)]).toEqual([401, 'AdminAuth']);
    }
    await expect(stat(join(site.folder, 'state/store/repository/a'))).rejects.toThrow('ENOENT');
  });

  test('an attestation token is no administrator token', async () => {
    const { token } = await handshake(site.kbs);
    const headers = { authorization: `Bearer ${token}` };
    expect(refusalOf(await ask(site.kbs, 'GET', '/kbs/v0/resource-policy', { headers }))).toBe('AdminAuth');
  });
});

describe('transport', () => {
  test('a body over 2 MiB answers 413', async () => {
    const body = Buffer.alloc(2 * 2 ** 20 + 1);
    const reply = await ask(site.kbs, 'POST', '/kbs/v0/auth', { body });
    expect([reply.status, reply.text]).toEqual([413, '']);
    expect(site.log.at(-1)).toMatch(/Z POST \/kbs\/v0\/auth 413 none body too large$/);
    const largest = Buffer.alloc(2 * 2 ** 20, ' ');
    expect(refusalOf(await ask(site.kbs, 'POST', '/kbs/v0/auth', { body: largest }))).toBe(
      'AttestationError',
    );
  });

  test('TLS 1.1 is refused', async () => {
    const { promise, resolve } = Promise.withResolvers<string>();
    const socket = connect({
      port: site.kbs.port,
      host: '127.0.0.1',
      maxVersion: 'TLSv1.1',
      minVersion: 'TLSv1',
    });
    socket.once('secureConnect', () => resolve('connected')).once('error', () => resolve('refused'));
    expect(await promise).toBe('refused');
    socket.destroy();
  });

  test('the log and the counters tell what happened, and no secret', async () => {
    await using other = await fixture();
    const { cookie, token } = await handshake(other.kbs);
    await ask(other.kbs, 'GET', `/kbs/v0/resource/${other.image.resourcePath}`, { headers: { cookie } });
    await ask(other.kbs, 'GET', '/kbs/v0/resource/keys/root/other?a=%0a', { headers: { cookie } });
    expect(other.log.map((line) => line.replace(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z /, ''))).toEqual([
      'POST /kbs/v0/auth 200 none',
      'POST /kbs/v0/attest 200 attested',
      `GET /kbs/v0/resource/${other.image.resourcePath} 200 attested`,
      'GET /kbs/v0/resource/keys/root/other?… 401 attested PolicyDeny: not this image, or not this path',
    ]);
    expect(other.kbs.requests).toEqual({
      total: 4,
      auth: 1,
      attest: 1,
      resource: 2,
      admin: 0,
      released: 1,
      refused: 1,
    });
    const log = other.log.join('\n');
    for (const secret of [cookie.split('=')[1]!, token, other.key.reveal().toString('ascii')]) {
      expect(log).not.toContain(secret);
    }
  });
});

describe('certificate authority', () => {
  test('it is made once, also by callers at the same time, and its key is private', async () => {
    const directory = join(site.folder, 'fresh');
    const all = await Promise.all([
      developmentCa(directory),
      developmentCa(directory),
      developmentCa(directory),
    ]);
    const certificate = await readFile(all[0].certFile, 'utf8');
    expect(await readFile((await developmentCa(directory)).certFile, 'utf8')).toBe(certificate);
    expect((await stat(all[0].keyFile)).mode & 0o777).toBe(0o600);
    expect((await stat(directory)).mode & 0o777).toBe(0o700);
  });
});

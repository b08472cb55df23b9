import { createPrivateKey } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { check } from '../../../src/kbs/client/check.ts';
import { readCredential } from '../../../src/kbs/client/credential.ts';
import type { Finding, FindingId } from '../../../src/kbs/client/finding.ts';
import type { Kbs } from '../../../src/kbs/client/kbs.ts';
import { push } from '../../../src/kbs/client/push.ts';
import { refuseUnsafe } from '../../../src/kbs/client/refuse-unsafe.ts';
import { setResourcePolicy } from '../../../src/kbs/client/requests.ts';
import { signJwt } from '../../../src/kbs/jwt.ts';
import { type AdminSite, adminSite } from './client-admin.ts';
import { makeCertificates, ownServer } from './client-servers.ts';

const prefix = { resourcePrefix: 'keys/root' };

async function findingsOf(site: AdminSite, more = {}): Promise<Record<FindingId, Finding>> {
  using kbs = site.client(more);
  const findings = await check(kbs, prefix);
  const ids = findings.map(({ id }) => id);
  expect(new Set(ids).size).toBe(ids.length);
  return Object.fromEntries(findings.map((finding) => [finding.id, finding])) as Record<FindingId, Finding>;
}

describe.each(['field', 'main'] as const)('check of a KBS of era %s', (era) => {
  test('finds nothing bad where nothing is, but for what the release itself lacks', async () => {
    await using site = await adminSite({ era });
    await site.build(1);
    await push(site.pushInput());
    const severities = Object.fromEntries(
      Object.entries(await findingsOf(site)).map(([id, { severity }]) => [id, severity]),
    );
    const old = era === 'field';
    expect(severities).toEqual({
      connection: 'ok',
      clock: 'ok',
      'forged-token': 'ok',
      'open-administration': 'ok',
      'attestation-policy': old ? 'bad' : 'ok',
      credential: 'ok',
      'stored-policy': old ? 'ok' : 'unknown',
      release: old ? 'bad' : 'ok',
    });
  });

  test('changes nothing, not even where everything is open', async () => {
    for (const open of [{}, { insecureTokens: true, insecureApi: true }]) {
      await using site = await adminSite({ era, ...open });
      using kbs = site.client();
      await setResourcePolicy(kbs, 'package policy\n');
      await check(kbs, prefix);
      const { received } = site.kbs;
      expect(await received.policy()).toBe('package policy\n');
      expect(await received.attestationPolicy('default_cpu')).toBeUndefined();
      expect(await received.referenceValues()).toEqual({});
      const asked = site.log.map((line) => / \/kbs\/v0\/resource\/(\S+)/.exec(line)?.[1] ?? '');
      for (const path of asked) expect(await received.resource(path)).toBeUndefined();
    }
  });

  test('tells the release', async () => {
    await using site = await adminSite({ era });
    const { release } = await findingsOf(site);
    expect(release.what).toContain(era === 'field' ? 'before v0.15' : 'v0.21 or later');
  });

  test.each([{ shippedPolicy: true }, {}])('finds forged tokens believed, with %j', async (policy) => {
    await using site = await adminSite({ era, insecureTokens: true, ...policy });
    const found = (await findingsOf(site))['forged-token'];
    expect(found).toMatchObject({ severity: 'bad', remedy: expect.stringContaining('signer') });
  });

  test('finds forged tokens believed by a KBS whose clock is far behind, too', async () => {
    const now = () => Date.now() - 3 * 3_600_000;
    await using site = await adminSite({ era, insecureTokens: true, now });
    const found = await findingsOf(site);
    expect([found['forged-token'].severity, found.clock.severity]).toEqual(['bad', 'bad']);
    expect(found.clock.what).toMatch(/1080\d s behind|1079\d s behind/);
  });

  test.each([
    ['hours ahead', 7_200_000],
    ['hours behind', -7_200_000],
  ])('finds them believed by a KBS %s behind a proxy with the right time', async (_, ahead) => {
    const clocks = { now: () => Date.now() + ahead, dateHeader: Date.now };
    await using site = await adminSite({ era, insecureTokens: true, ...clocks });
    const found = await findingsOf(site);
    expect([found['forged-token'].severity, found.clock.severity]).toEqual(['bad', 'ok']);
  });

  test('finds them believed by a verifier that takes RS384 only, with the key among the claims', async () => {
    await using site = await adminSite({ era, cocoTokens: true });
    const found = (await findingsOf(site))['forged-token'];
    expect(found).toMatchObject({ severity: 'bad', remedy: expect.stringContaining('trusted_certs_paths') });
  });

  test('finds administration open to anybody', async () => {
    await using site = await adminSite({ era, insecureApi: true });
    const found = await findingsOf(site, { credential: undefined });
    expect(found['open-administration']).toMatchObject({
      severity: 'bad',
      remedy: expect.stringContaining('insecure_api'),
    });
  });

  test('tells a wrong credential, and the lack of one', async () => {
    await using site = await adminSite({ era });
    await using other = await adminSite({ era });
    const wrong = await findingsOf(site, { credential: other.credential });
    expect(wrong.credential).toMatchObject({
      severity: 'bad',
      what: expect.stringContaining('policies, keys, reference values'),
    });
    const none = await findingsOf(site, { credential: undefined });
    expect([none.credential.severity, none['stored-policy'].severity]).toEqual(['unknown', 'unknown']);
  });

  test.each([
    [40_000, 'ok'],
    [-100_000, 'warn'],
  ])('a clock %i ms ahead is %s', async (ahead, severity) => {
    await using site = await adminSite({ era, now: () => Date.now() + ahead });
    expect((await findingsOf(site)).clock.severity).toBe(severity);
  });

  test('another certificate authority ends the report, with the remedy', async () => {
    await using site = await adminSite({ era });
    await using other = await adminSite({ era });
    using kbs = site.client({ ca: other.ca });
    expect(await check(kbs, prefix)).toEqual([
      {
        id: 'connection',
        severity: 'bad',
        what: expect.stringContaining('was not issued by the one pinned by kbs.ca'),
        remedy: expect.stringContaining('kbs.ca'),
      },
    ]);
    expect(site.log).toEqual([]);
  });

  test('a request that is lost on the way does not spoil the report', async () => {
    await using site = await adminSite({ era, faults: [{ kind: 'drop', first: 2 }] });
    expect((await findingsOf(site))['forged-token'].severity).toBe('ok');
  });

  test('no administrator token of ours is in the log', async () => {
    await using site = await adminSite({ era });
    await findingsOf(site);
    expect(site.log.join('\n')).not.toMatch(/eyJ/);
  });
});

test('the field shows its shipped policy, and any key goes to any VM', async () => {
  await using site = await adminSite({ era: 'field', shippedPolicy: true });
  expect((await findingsOf(site))['stored-policy']).toMatchObject({
    severity: 'bad',
    what: expect.stringContaining('any confidential VM is given any key'),
  });
});

describe('administrators whose tokens bring their own key', () => {
  const settings = { era: 'main', insecureAdminTokens: true } as const;
  const bad = {
    severity: 'bad',
    what: expect.stringContaining('signed by the key in its own header'),
    remedy: expect.stringContaining('insecure_header_jwk'),
  };

  test.each([
    ['nobody in particular', {}],
    [
      'a role that may do nothing here',
      { accessRules: [{ role: 'x', allowedEndpoints: '^/kbs/v0/other$' }] },
    ],
    ['a clock far ahead', { now: () => Date.now() + 7_200_000, dateHeader: Date.now }],
    ['a clock far behind', { now: () => Date.now() - 7_200_000, dateHeader: Date.now }],
  ])('are found believed: %s', async (_, more) => {
    await using site = await adminSite({ ...settings, ...more });
    const found = await findingsOf(site, { credential: undefined });
    expect(found['open-administration']).toMatchObject(bad);
  });

  test('with the issuer and role that builder.yml names', async () => {
    const accessRules = [{ role: 'builders', allowedEndpoints: '^/kbs/v0/.+$' }];
    await using site = await adminSite({ ...settings, adminIssuer: 'us', accessRules });
    const named = { keyFile: site.kbs.adminKeyFile, issuer: 'us', role: 'builders' };
    const { credential } = await readCredential(named);
    const found = await findingsOf(site, { credential });
    expect(found['open-administration']).toMatchObject(bad);
    // The right credential can still be told from a wrong one.
    expect(found.credential.severity).toBe('ok');
  });

  test('with issuer, role and audience of a ready token', async () => {
    const accessRules = [{ role: 'builders', allowedEndpoints: '^/kbs/v0/.+$' }];
    const compared = { adminIssuer: 'us', adminAudience: 'kbs', accessRules };
    await using site = await adminSite({ ...settings, ...compared });
    const key = createPrivateKey(await readFile(site.kbs.adminKeyFile));
    const exp = Math.floor(Date.now() / 1000) + 600;
    const claims = { iss: 'us', aud: ['other', 'kbs'], role: 'builders', exp };
    const tokenFile = join(site.folder, 'token');
    await writeFile(tokenFile, signJwt('EdDSA', key, claims), { mode: 0o600 });
    const { credential } = await readCredential({ tokenFile });
    expect((await findingsOf(site, { credential }))['open-administration']).toMatchObject(bad);
    await using safe = await adminSite({ era: 'main', ...compared });
    expect((await findingsOf(safe, { credential }))['open-administration'].severity).toBe('ok');
  });

  test('are refused by a KBS that does not look there', async () => {
    await using site = await adminSite({ era: 'main' });
    expect((await findingsOf(site))['open-administration'].severity).toBe('ok');
  });

  test('no key is pushed to such a KBS', async () => {
    await using site = await adminSite(settings);
    const { keyFile, key } = await site.build(1);
    await expect(push(site.pushInput())).rejects.toMatchObject({
      details: [expect.stringContaining('own header'), expect.stringContaining('insecure_header_jwk')],
    });
    expect(await readFile(keyFile, 'utf8')).toBe(key);
  });
});

test.each([
  '^/kbs/v0/(resource-policy|reference-value|resource/keys/root/[0-9a-f]+)$',
  '^/kbs/v0/(resource-policy|reference-value|resource/[A-Za-z0-9_-]+/[A-Za-z0-9_-]+/[A-Za-z0-9_-]+)$',
])('an access list with the exact form of keys lets the credential pass: %s', async (allowedEndpoints) => {
  const accessRules = [{ role: 'image-builder', allowedEndpoints }];
  await using site = await adminSite({ era: 'main', accessRules });
  const found = await findingsOf(site);
  expect([found.credential.severity, found['open-administration'].severity]).toEqual(['ok', 'ok']);
});

test.each([
  ['store keys', 'POST'],
  ['delete keys', 'DELETE'],
])('where only resources are open, so that anybody may %s, it is found', async (_, open) => {
  await using certificates = await makeCertificates();
  await using server = await ownServer(certificates.server, ({ method, url }, response) => {
    const refuse = (variant: string) => {
      const type = `https://github.com/confidential-containers/kbs/errors/${variant}`;
      response.writeHead(401).end(JSON.stringify({ type, detail: '' }));
    };
    const resource = url.includes('/resource/');
    if (method === 'GET' && resource) refuse('TokenVerifierError');
    else if (method === open && resource) refuse('PluginInternalError');
    else refuse('AdminAuth');
  });
  await using site = await adminSite();
  const at = { url: server.url, ca: certificates.ca, credential: undefined };
  expect((await findingsOf(site, at))['open-administration'].severity).toBe('bad');
  expect(server.asked.filter(({ url }) => url.includes('/resource/')).map(({ url }) => url)).toContainEqual(
    expect.stringMatching(/root\/[0-9a-f]{24}$/),
  );
});

describe('a push by script', () => {
  const refusing = (variant: string) => async (run: (kbs: Kbs) => Promise<void>) => {
    await using certificates = await makeCertificates();
    await using server = await ownServer(certificates.server, ({ method, url }, response) => {
      const name = method === 'GET' && url.includes('/resource/') ? variant : 'AdminAuth';
      const type = `https://github.com/confidential-containers/kbs/errors/${name}`;
      response.writeHead(401).end(JSON.stringify({ type, detail: '' }));
    });
    await using site = await adminSite();
    using kbs = site.client({ url: server.url, ca: certificates.ca, credential: undefined });
    await run(kbs);
  };

  test('is warned where it cannot be told whether forged tokens are believed', async () => {
    await refusing('SomethingOfTomorrow')(async (kbs) => {
      const warnings: string[] = [];
      const warn = (text: string) => warnings.push(text);
      await refuseUnsafe(kbs, { ...prefix, acceptInsecure: false, fromAside: true, warn });
      expect(warnings.join('\n')).toMatch(/whether forged attestation tokens .* Remedy: .*insecure_key/);
    });
  });

  test('is not warned of it where they are refused', async () => {
    await refusing('TokenVerifierError')(async (kbs) => {
      const warnings: string[] = [];
      const warn = (text: string) => warnings.push(text);
      await refuseUnsafe(kbs, { ...prefix, acceptInsecure: false, fromAside: true, warn });
      expect(warnings.join('\n')).not.toMatch(/forged/);
    });
  });
});

test('a role that may store policies only is told so', async () => {
  const accessRules = [{ role: 'image-builder', allowedEndpoints: '^/kbs/v0/resource-policy$' }];
  await using site = await adminSite({ era: 'main', accessRules });
  expect((await findingsOf(site)).credential).toMatchObject({
    severity: 'bad',
    what: expect.stringContaining('refused for keys, reference values'),
  });
});

test.each([
  ['a page', 200, '<html>hello</html>'],
  ['another interface', 401, '{"error":"unauthorized"}'],
  ['nothing there', 404, 'not found'],
])('%s is not taken for a KBS, and no credential is sent', async (_, status, body) => {
  await using certificates = await makeCertificates();
  await using server = await ownServer(certificates.server, (_request, response) =>
    response.writeHead(status, { 'Content-Type': 'text/html' }).end(body),
  );
  await using site = await adminSite();
  using kbs = site.client({ url: server.url, ca: certificates.ca });
  expect(await check(kbs, prefix)).toMatchObject([{ id: 'not-a-kbs', severity: 'bad' }]);
  expect(server.asked.every(({ authorization }) => authorization === undefined)).toBe(true);
});

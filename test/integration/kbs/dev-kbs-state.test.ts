import { readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { type DevelopmentKbs, startDevelopmentKbs } from '../../../src/kbs/dev-kbs/index.ts';
import { addImage } from '../../../src/kbs/registry/registry.ts';
import { rvpsMessage } from '../../../src/kbs/rvps.ts';
import { imageOf } from '../../unit/kbs/records.ts';
import {
  admin,
  ask,
  challenge,
  evidence,
  fixture,
  guestKey,
  handshake,
  refusalOf,
} from './development-kbs.ts';

const policy = 'package policy\nimport rego.v1\ndefault allow := false # planted-in-policy\n';

/** Sends one of each; every text holds a mark. */
async function sendAll(kbs: DevelopmentKbs): Promise<void> {
  const headers = await admin(kbs);
  const encoded = Buffer.from(policy).toString('base64url');
  for (const [path, body] of [
    ['resource/keys/root/sent', 'planted-in-key'],
    ['resource-policy', JSON.stringify({ policy: encoded })],
    ['attestation-policy', JSON.stringify({ type: 'rego', policy_id: 'default_cpu', policy: encoded })],
    ['reference-value', JSON.stringify(rvpsMessage({ planted: 'planted-in-value' }))],
  ] as const) {
    expect((await ask(kbs, 'POST', `/kbs/v0/${path}`, { body, headers })).status).toBe(200);
  }
}

async function received({ received }: DevelopmentKbs) {
  return [
    (await received.resource('keys/root/sent'))?.toString(),
    await received.policy(),
    await received.attestationPolicy('default_cpu'),
    await received.referenceValues(),
  ];
}

const all = ['planted-in-key', policy, policy, { planted: 'planted-in-value' }];

test('what administrators sent outlives the server, in private files', async () => {
  await using site = await fixture({ era: 'main' });
  await sendAll(site.kbs);
  await site.kbs.close();
  const { stateDirectory, registryDirectory } = site;
  await using again = await startDevelopmentKbs({ stateDirectory, registryDirectory, era: 'main' });
  expect(await received(again)).toEqual(all);
  const store = join(stateDirectory, 'store');
  const names = await readdir(store, { recursive: true });
  expect(names.length).toBeGreaterThan(4);
  for (const name of ['', ...names]) {
    const found = await stat(join(store, name));
    expect([name, found.mode & 0o777]).toEqual([name, found.isDirectory() ? 0o700 : 0o600]);
  }
  // Removed is removed after another start as well.
  const headers = await admin(again);
  const path = '/kbs/v0/resource/keys/root/sent';
  expect((await ask(again, 'DELETE', path, { headers })).status).toBe(200);
  await again.close();
  await using third = await startDevelopmentKbs({ stateDirectory, registryDirectory, era: 'main' });
  expect(await third.received.resource('keys/root/sent')).toBeUndefined();
});

test('in memory nothing of it touches the disk, nor outlives the server', async () => {
  await using site = await fixture({ era: 'main', inMemory: true });
  await sendAll(site.kbs);
  expect(await received(site.kbs)).toEqual(all);
  const files = await readdir(site.stateDirectory, { recursive: true });
  expect(files.sort()).toEqual(['.lock', 'admin.key', 'admin.pub', 'ca.crt', 'ca.key']);
  const { stateDirectory, registryDirectory } = site;
  await using again = await startDevelopmentKbs({ stateDirectory, registryDirectory, inMemory: true });
  expect(await again.received.policy()).toBeUndefined();
  expect(again.caFile).toBe(site.kbs.caFile);
});

test('a key that was released once is still there', async () => {
  await using site = await fixture({ era: 'main', inMemory: true });
  const path = `/kbs/v0/resource/${site.image.resourcePath}`;
  await ask(site.kbs, 'POST', path, { body: 'the key', headers: await admin(site.kbs) });
  const { cookie } = await handshake(site.kbs);
  await ask(site.kbs, 'GET', path, { headers: { cookie } });
  expect(String(await site.kbs.received.resource(site.image.resourcePath))).toBe('the key');
});

describe('the request log', () => {
  test('holds no body, token, cookie, key, query or header', async () => {
    await using site = await fixture({ era: 'main', insecureTokens: true });
    const { authorization } = await admin(site.kbs);
    const { nonce, cookie } = await challenge(site.kbs);
    const { jwk } = guestKey();
    await ask(site.kbs, 'POST', '/kbs/v0/attest', {
      body: JSON.stringify(evidence(nonce, jwk)),
      headers: { cookie },
    });
    const path = `/kbs/v0/resource/${site.image.resourcePath}`;
    const released = await ask(site.kbs, 'GET', `${path}?planted-in-query`, { headers: { cookie } });
    expect(released.status).toBe(200);
    await sendAll(site.kbs);
    // Everything that can be malformed, so that no parser's message gets there either.
    const headers = { authorization };
    const refused = [
      ask(site.kbs, 'POST', '/kbs/v0/auth', { body: 'planted-in-auth' }),
      ask(site.kbs, 'POST', '/kbs/v0/auth', {
        body: '{"version":"planted-in-version","tee":"sample","extra-params":{}}',
      }),
      ask(site.kbs, 'POST', '/kbs/v0/auth', {
        body: '{"version":"0.4.0","tee":"planted-in-tee","extra-params":{}}',
      }),
      ask(site.kbs, 'POST', '/kbs/v0/resource-policy', { body: 'planted-in-body', headers }),
      ask(site.kbs, 'POST', '/kbs/v0/reference-value', { body: '"planted-in-message"', headers }),
      ask(site.kbs, 'POST', '/kbs/v0/attestation-policy', { body: '{"policy_id":"planted-in-id"}', headers }),
      ask(site.kbs, 'GET', path, { headers: { authorization: 'Bearer planted.in.token' } }),
      ask(site.kbs, 'GET', path, {
        headers: { authorization: `Bearer ${token({ jwk: 'planted-in-jwk' })}` },
      }),
      ask(site.kbs, 'POST', path, { body: 'x', headers: { authorization: `Bearer ${token({})}` } }),
      ask(site.kbs, 'POST', path, { body: 'x', headers: { authorization: 'planted-in-header' } }),
    ];
    for (const reply of await Promise.all(refused)) expect(reply.status).toBe(401);
    const log = site.log.join('\n');
    expect(site.log.length).toBe(4 + 3 + refused.length);
    expect(log).not.toContain('planted-in');
    const { token: attested } = JSON.parse(
      (await ask(site.kbs, 'POST', '/kbs/v0/attest', { body: '{}', headers: { cookie } })).text,
    ) as { token: string };
    for (const secret of [
      cookie.split('=')[1]!,
      nonce,
      jwk.x!,
      ...authorization.split(/[ .]/).slice(1),
      ...attested.split('.'),
      site.key.reveal().toString('ascii'),
      JSON.parse(released.text).ciphertext,
    ]) {
      expect(log).not.toContain(secret);
    }
  });

  /** A token that is none, with this header. */
  function token(header: object): string {
    return `${Buffer.from(JSON.stringify({ alg: 'ES256', ...header })).toString('base64url')}.cGxhbnRlZA.AAAA`;
  }

  test('cuts a path that is too long to be worth a line', async () => {
    await using site = await fixture({ inMemory: true });
    await ask(site.kbs, 'GET', `/kbs/v0/resource/a/b/${'x'.repeat(5000)}`);
    await ask(site.kbs, 'GET', `/kbs/v0/${'x'.repeat(5000)}`);
    for (const line of site.log) expect(line.length).toBeLessThan(450);
  });
});

describe('a production registry', () => {
  test('is not served: neither at the start, nor when it comes later', async () => {
    await using site = await fixture({ inMemory: true });
    const registryDirectory = join(site.folder, 'production');
    await addImage(registryDirectory, imageOf(9));
    const { stateDirectory } = site;
    await expect(startDevelopmentKbs({ stateDirectory, registryDirectory })).rejects.toThrow(
      'production registry',
    );
    const file = 'cvm-registry.json';
    await writeFile(join(site.registryDirectory, file), await readFile(join(registryDirectory, file)));
    const { cookie } = await handshake(site.kbs);
    const path = `/kbs/v0/resource/${imageOf(9).resourcePath}`;
    await ask(site.kbs, 'POST', path, { body: 'x', headers: await admin(site.kbs) });
    const reply = await ask(site.kbs, 'GET', path, { headers: { cookie } });
    expect([reply.status, refusalOf(reply)]).toEqual([401, 'PluginInternalError']);
    expect(site.log.at(-1)).toContain('it is a production registry');
  });

  test("a production image's key that was sent here is never released, even if everything is insecure", async () => {
    await using site = await fixture({
      inMemory: true,
      insecureApi: true,
      insecureTokens: true,
      shippedPolicy: true,
    });
    const path = '/kbs/v0/resource/keys/root/production';
    expect((await ask(site.kbs, 'POST', path, { body: 'production key' })).status).toBe(200);
    const { cookie } = await handshake(site.kbs);
    const reply = await ask(site.kbs, 'GET', path, { headers: { cookie } });
    expect([reply.status, refusalOf(reply)]).toEqual([401, 'PluginInternalError']);
  });
});

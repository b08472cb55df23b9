import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { EraName } from '../../../src/kbs/dev-kbs/index.ts';
import { rvpsMessage } from '../../../src/kbs/rvps.ts';
import { admin, ask, type Fixture, fixture, handshake, type Reply } from './development-kbs.ts';

const types = 'https://github.com/confidential-containers/kbs/errors/';

/** Status and, where there is an error body, what it says. */
function answer({ status, text }: Reply): (number | string)[] {
  if (status === 200 || text === '') return [status];
  const { type, detail } = JSON.parse(text) as { type: string; detail: string };
  expect(type.startsWith(types)).toBe(true);
  return [status, type.slice(types.length), detail];
}

const sites = {} as Record<EraName, Fixture>;

beforeAll(async () => {
  for (const era of ['field', 'main'] as const) sites[era] = await fixture({ era, inMemory: true });
});

afterAll(async () => {
  for (const site of Object.values(sites)) await site[Symbol.asyncDispose]();
});

const base64url = (text: string) => Buffer.from(text).toString('base64url');
const policy = 'package policy\n\nimport rego.v1\n\ndefault allow := false\n';
const policyBody = JSON.stringify({ policy: base64url(policy) });
const valuesBody = JSON.stringify(rvpsMessage({ a: [1] }));

type Row = [
  method: string,
  path: string,
  as: 'admin' | 'nobody' | 'guest',
  body: string,
  field: (number | string)[],
  main: (number | string)[],
];

const nothing = 'Failed to parse HTTP Auth Bearer header';
const adminAuth = [401, 'AdminAuth', `Admin auth error: ${nothing}`];
const access = (endpoint: string) => [
  401,
  'AdminAuthAccess',
  `admin access denied for endpoint ${endpoint}: ${nothing}`,
];
const initialization = [
  401,
  'AdminAuthInitialization',
  `failed to initialize [admin] configuration: ${nothing}`,
];
const internal = [401, 'PluginInternalError', 'Plugin internal error'];
const engine = [401, 'PolicyEngine', 'Policy engine error'];
const parse = (reason: string) => [401, 'ParsePolicyError', `Failed to parse policy: ${reason}`];
const notFound = (name: string) => [404, 'PluginNotFound', `Plugin ${name} not found`];
const rvps = (reason: string) => [401, 'RvpsError', `RVPS configuration failed: ${reason}`];
const setPolicyFailed = [401, 'AttestationError', 'Attestation error: Set Attestation Policy failed'];

/** Answers of both eras, in the order in which they are asked for. */
const table: Row[] = [
  // An administrator's work.
  ['POST', 'resource/keys/root/one', 'admin', 'first', [200], [200]],
  ['POST', 'resource/keys/root/one', 'admin', 'second', [200], [200]],
  ['POST', 'resource-policy', 'admin', policyBody, [200], [200]],
  ['GET', 'resource-policy', 'admin', '', [200], [200]],
  [
    'POST',
    'attestation-policy',
    'admin',
    JSON.stringify({ type: 'rego', policy_id: 'default_cpu', policy: base64url(policy) }),
    [200],
    [200],
  ],
  ['POST', 'reference-value', 'admin', valuesBody, [200], [200]],
  ['GET', 'reference-value/a', 'admin', '', [200], [200]],
  // The same from somebody without a token.
  ['POST', 'resource/keys/root/one', 'nobody', 'x', adminAuth, initialization],
  ['POST', 'resource-policy', 'nobody', policyBody, adminAuth, access('resource-policy')],
  ['GET', 'resource-policy', 'nobody', '', adminAuth, access('resource-policy')],
  ['POST', 'reference-value', 'nobody', valuesBody, adminAuth, access('reference-value')],
  ['GET', 'reference-value/a', 'nobody', '', adminAuth, access('reference-value')],
  [
    'POST',
    'attestation-policy',
    'nobody',
    JSON.stringify({ type: 'rego', policy_id: 'by-anybody', policy: base64url(policy) }),
    [200], // the hole of that release
    access('attestation-policy'),
  ],
  ['DELETE', 'resource/keys/root/one', 'nobody', '', [405], initialization],
  // Malformed.
  ['POST', 'resource-policy', 'admin', 'no JSON', engine, parse('Illegal SetPolicy Request Json')],
  [
    'POST',
    'resource-policy',
    'admin',
    '{}',
    engine,
    parse('No `policy` field inside SetPolicy Request Json'),
  ],
  [
    'POST',
    'resource-policy',
    'admin',
    '{"policy":1}',
    engine,
    parse('`policy` field is not a string in SetPolicy Request Json'),
  ],
  [
    'POST',
    'resource-policy',
    'admin',
    '{"policy":"a+b="}',
    engine,
    parse('Failed to decode policy: not base64url without padding'),
  ],
  [
    'POST',
    'resource-policy',
    'admin',
    '{"policy":"_w"}',
    engine,
    parse('Failed to decode policy: not UTF-8'),
  ],
  ['POST', 'attestation-policy', 'admin', '{"policy":""}', setPolicyFailed, setPolicyFailed],
  [
    'POST',
    'attestation-policy',
    'admin',
    '{"policy":"","policy_id":"../a"}',
    setPolicyFailed,
    setPolicyFailed,
  ],
  [
    'POST',
    'reference-value',
    'admin',
    '{"version":"0.1.1","type":"sample","payload":"e30="}',
    rvps('Failed to register reference value: version: Invalid input: expected "0.1.0"'),
    rvps('Failed to register reference value: version: Invalid input: expected "0.1.0"'),
  ],
  ['GET', 'reference-value/b', 'admin', '', [200], rvps('Failed to get reference_values: no such value')],
  // Paths of resources: illegal, too long, absent.
  ...['a/b', 'a/b/c/d', 'a//c', '.a/b/c', 'a/b/%2e', 'a/b/c%20d', ''].map(
    (path): Row => ['POST', `resource/${path}`, 'admin', 'x', internal, internal],
  ),
  ['POST', `resource/a/b/${'c'.repeat(256)}`, 'admin', 'x', internal, internal],
  // Each segment is short enough for a file name, the whole path is not.
  [
    'POST',
    `resource/${'a'.repeat(100)}/${'b'.repeat(100)}/${'c'.repeat(100)}`,
    'admin',
    'x',
    [200],
    internal,
  ],
  ['DELETE', 'resource/keys/root/absent', 'admin', '', [405], internal],
  ['DELETE', 'resource/keys/root/one', 'admin', '', [405], [200]],
  ['DELETE', 'resource/keys/root/one', 'admin', '', [405], internal],
  ['DELETE', 'resource-policy', 'admin', '', [405], notFound('resource-policy')],
  // A guest.
  [
    'GET',
    'resource/keys/root/one',
    'nobody',
    '',
    [401, 'TokenNotFound', 'Attestation Token not found'],
    [401, 'TokenNotFound', 'Attestation Token not found'],
  ],
  [
    'GET',
    'resource/keys/root/one',
    'admin', // an administrator's token is no attestation token
    '',
    [401, 'TokenVerifierError', 'Token Verifier error'],
    [401, 'TokenVerifierError', 'Token Verifier error'],
  ],
  ['GET', 'resource-policy', 'guest', '', adminAuth, access('resource-policy')],
  // What is not there.
  ['GET', 'attestation-policy', 'admin', '', notFound('attestation-policy'), notFound('attestation-policy')],
  ['GET', 'auth', 'nobody', '', notFound('auth'), notFound('auth')],
  ['GET', 'other/a/b', 'nobody', '', notFound('other'), notFound('other')],
  ['POST', 'constructor', 'admin', '', notFound('constructor'), notFound('constructor')],
  ['GET', '', 'nobody', '', notFound(''), notFound('')],
  ['PATCH', 'resource/a/b/c', 'admin', '', [405], [405]],
  ['GET', '../../healthz', 'nobody', '', [404], [200]],
  ['GET', '../../metrics', 'nobody', '', [200], [200]],
  ['POST', '../../metrics', 'nobody', '', [405], [405]],
  ['GET', '../..', 'nobody', '', [404], [404]],
  ['GET', '../../kbs', 'nobody', '', [404], [404]],
  ['GET', '../../kbs/v1/auth', 'nobody', '', [404], [404]],
];

test.each(['field', 'main'] as const)('every endpoint of %s answers as that release', async (era) => {
  const { kbs } = sites[era];
  const { cookie } = await handshake(kbs);
  const headers = { admin: await admin(kbs), nobody: {}, guest: { cookie } };
  const asked = table.map(([method, path, as, body]) => `${method} ${path} (${as}) ${body}`);
  const answers: unknown[] = [];
  for (const [method, path, as, body] of table) {
    const url = new URL(`https://kbs/kbs/v0/${path}`);
    const target = path.startsWith('..') ? url.pathname : `/kbs/v0/${path}`;
    answers.push(answer(await ask(kbs, method, target, { body, headers: headers[as] })));
  }
  const expected = table.map((row) => row[era === 'field' ? 4 : 5]);
  expect(answers.map((given, index) => [asked[index], given])).toEqual(
    expected.map((given, index) => [asked[index], given]),
  );
});

describe('what is read back', () => {
  const get = async (era: EraName, path: string) => {
    const { kbs } = sites[era];
    const reply = await ask(kbs, 'GET', `/kbs/v0/${path}`, { headers: await admin(kbs) });
    return { type: reply.headers['content-type'], text: reply.text };
  };

  test('the policy: its text in the field, names on main', async () => {
    expect(await get('field', 'resource-policy')).toEqual({ type: 'text/xml', text: base64url(policy) });
    expect(await get('main', 'resource-policy')).toEqual({
      type: 'application/json',
      text: '["resource-policy"]',
    });
    expect(await sites.main.kbs.received.policy()).toBe(policy);
  });

  test('reference values: all in the field whatever the path, one on main', async () => {
    expect((await get('field', 'reference-value')).text).toBe('{"a":[1]}');
    expect((await get('field', 'reference-value/a')).text).toBe('{"a":[1]}');
    expect((await get('main', 'reference-value/a')).text).toBe('[1]');
  });

  test('a reference value expires after a year, in the field only', async () => {
    for (const { clock } of Object.values(sites)) clock.ahead = 366 * 86_400_000;
    try {
      const later = { now: Date.now() + 366 * 86_400_000 };
      for (const [era, path, text] of [
        ['field', 'reference-value', '{}'],
        ['main', 'reference-value/a', '[1]'],
      ] as const) {
        const { kbs } = sites[era];
        const headers = await admin(kbs, later);
        expect((await ask(kbs, 'GET', `/kbs/v0/${path}`, { headers })).text).toBe(text);
      }
    } finally {
      for (const { clock } of Object.values(sites)) clock.ahead = 0;
    }
  });

  test('anybody may replace an attestation policy in the field, and not on main', async () => {
    expect(await sites.field.kbs.received.attestationPolicy('by-anybody')).toBe(policy);
    expect(await sites.main.kbs.received.attestationPolicy('by-anybody')).toBeUndefined();
    expect(await sites.main.kbs.received.attestationPolicy('default_cpu')).toBe(policy);
  });

  test('the metrics name resource paths, to everyone', async () => {
    const { text } = await ask(sites.main.kbs, 'GET', '/metrics');
    expect(text).toContain('kbs_resource_writes_total{resource_path="keys/root/one"} 2\n');
    expect(text).toMatch(/^kbs_policy_evaluations_total 0$/m);
  });

  test("the Date header shows the broker's clock", async () => {
    sites.field.clock.ahead = 3_600_000;
    const { headers } = await ask(sites.field.kbs, 'GET', '/metrics');
    sites.field.clock.ahead = 0;
    const ahead = Date.parse(headers.date!) - Date.now();
    expect(Math.abs(ahead - 3_600_000)).toBeLessThan(60_000);
  });
});

test('two changes of reference values at once lose neither', async () => {
  const { kbs } = sites.main;
  const headers = await admin(kbs);
  const names = Array.from({ length: 20 }, (_, index) => `value-${index}`);
  await Promise.all(
    names.map((name) =>
      ask(kbs, 'POST', '/kbs/v0/reference-value', {
        body: JSON.stringify(rvpsMessage({ [name]: true })),
        headers,
      }),
    ),
  );
  expect(Object.keys(await kbs.received.referenceValues())).toEqual(expect.arrayContaining(names));
});

import { describe, expect, test } from 'vitest';
import { which } from '../../../src/host/tools.ts';
import { type EraName, eras } from '../../../src/kbs/dev-kbs/era/index.ts';
import type { DevelopmentKbsOptions } from '../../../src/kbs/dev-kbs/index.ts';
import { admin, ask, type Fixture, fixture, handshake, refusalOf } from './development-kbs.ts';

const opa = process.env.OPA ?? which('opa') ?? '';

const head = 'package policy\n';
const v1 = `${head}import rego.v1\ndefault allow := false\n`;
const v0 = `${head}default allow = false\n`;

/** What happens when the text is posted, and then to a request of the image for its own key. */
type Outcome = 'released' | 'denied' | 'error' | 'not stored';

/** regorus 0.2.8 and 0.11.0, the two releases' own engines, give the same. */
const table: [name: string, text: string, field: Outcome, main: Outcome][] = [
  ['allow {…}, as in the older guides', `${v0}allow {\n\ttrue\n}\n`, 'released', 'not stored'],
  ['if with the import', `${v1}allow if true\n`, 'released', 'released'],
  ['if with the import, false', `${v1}allow if false\n`, 'denied', 'denied'],
  [
    'if without the import is always true in the field',
    `${v0}allow if {\n\tfalse\n}\n`,
    'released',
    'denied',
  ],
  ['a value and if without the import', `${v0}allow := true if {\n\tfalse\n}\n`, 'released', 'denied'],
  ['if and its brace on two lines', `${v0}allow if\n{\n\tfalse\n}\n`, 'released', 'denied'],
  [
    'two of them, without the import',
    `${v0}allow if {\n\tfalse\n}\nallow if {\n\tinput.y\n}\n`,
    'released',
    'denied',
  ],
  ['if without the import and braces', `${v0}allow if input.x == 1\n`, 'not stored', 'denied'],
  ['if and in without the import', `${v0}allow if {\n\t1 in [1]\n}\n`, 'not stored', 'released'],
  ['in without any import', `${v0}allow {\n\t1 in [1]\n}\n`, 'not stored', 'not stored'],
  [
    'future.keywords',
    `${head}import future.keywords.if\ndefault allow = false\nallow if { true }\n`,
    'released',
    'released',
  ],
  ['another package', 'package other\n\nallow = true\n', 'error', 'denied'],
  ['no allow', `${head}x = 1\n`, 'error', 'denied'],
  ['allow that is no boolean', `${head}allow = "yes"\n`, 'error', 'denied'],
  [
    'split of the path',
    `${v1}allow if split(data["resource-path"], "/")[0] == "resource"\n`,
    'released',
    'error',
  ],
  ['path as a list', `${v1}allow if data["resource-path"][0] == "keys"\n`, 'denied', 'released'],
  ['plugin', `${v1}allow if data.plugin == "resource"\n`, 'denied', 'released'],
  [
    'the digest as base64',
    `${v1}allow if count(input.submods.cpu0["ear.veraison.annotated-evidence"].snp.measurement) == 64\n`,
    'released',
    'denied',
  ],
  [
    'the digest as hex',
    `${v1}allow if count(input.submods.cpu0["ear.veraison.annotated-evidence"].snp.measurement) == 96\n`,
    'denied',
    'released',
  ],
  ['conflicting rules', `${head}import rego.v1\nallow := true\nallow := false if true\n`, 'error', 'error'],
  ['no Rego', 'allow everything, please', 'not stored', 'not stored'],
];

async function outcomeOf(site: Fixture, text: string): Promise<Outcome> {
  const engineError = site.kbs.era === 'field' ? 'PolicyEngine' : 'PolicyEngineError';
  const body = JSON.stringify({ policy: Buffer.from(text).toString('base64url') });
  const headers = await admin(site.kbs);
  const posted = await ask(site.kbs, 'POST', '/kbs/v0/resource-policy', { body, headers });
  if (posted.status !== 200) {
    expect(refusalOf(posted)).toBe(engineError);
    // The field tells no reason.
    expect(/line \d+: /.test(posted.text)).toBe(site.kbs.era === 'main');
    return 'not stored';
  }
  const { cookie } = await handshake(site.kbs);
  const path = `/kbs/v0/resource/${site.image.resourcePath}`;
  const reply = await ask(site.kbs, 'GET', path, { headers: { cookie } });
  if (reply.status === 200) return 'released';
  if (refusalOf(reply) === 'PolicyDeny') return 'denied';
  expect(refusalOf(reply)).toBe(engineError);
  return 'error';
}

describe.skipIf(opa === '')('a posted policy, judged by Open Policy Agent', () => {
  const start = (era: EraName, options: Partial<DevelopmentKbsOptions> = {}) =>
    fixture({ era, opa, inMemory: true, ...options });

  test.each(['field', 'main'] as const)('as %s reads it', async (era) => {
    await using site = await start(era);
    const outcomes: [string, Outcome][] = [];
    for (const [name, text] of table) outcomes.push([name, await outcomeOf(site, text)]);
    expect(outcomes).toEqual(table.map((row) => [row[0], era === 'field' ? row[2] : row[3]]));
  });

  test.each(['field', 'main'] as const)("%s: this project's policy and the shipped one", async (era) => {
    await using site = await start(era, { shippedPolicy: true });
    // Not sample evidence, as the development KBS turns the handshake into SNP claims.
    const { cookie } = await handshake(site.kbs);
    const path = `/kbs/v0/resource/${site.image.resourcePath}`;
    expect((await ask(site.kbs, 'GET', path, { headers: { cookie } })).status).toBe(200);
    expect(await outcomeOf(site, eras[era].policy.shipped)).toBe('released');
    await using sample = await start(era, { shippedPolicy: true, claims: 'sample' });
    expect(await outcomeOf(sample, eras[era].policy.shipped)).toBe('denied');
  });

  test('a refused text leaves the old policy in force', async () => {
    await using site = await start('main');
    expect(await outcomeOf(site, `${v1}allow if true\n`)).toBe('released');
    expect(await outcomeOf(site, 'no Rego')).toBe('not stored');
    expect(await site.kbs.received.policy()).toBe(`${v1}allow if true\n`);
  });

  test('an attestation policy that does not parse is refused', async () => {
    await using site = await start('field');
    const policy = Buffer.from('no Rego').toString('base64url');
    const body = JSON.stringify({ type: 'rego', policy_id: 'default_cpu', policy });
    const reply = await ask(site.kbs, 'POST', '/kbs/v0/attestation-policy', { body });
    expect(refusalOf(reply)).toBe('AttestationError');
    expect(await site.kbs.received.attestationPolicy('default_cpu')).toBeUndefined();
  });

  test('the policy text does not get into the log', async () => {
    await using site = await start('main');
    await outcomeOf(site, `${v1}allow if { planted := "planted" in }\n`);
    expect(site.log.join('\n')).toMatch(/PolicyEngineError: line \d/);
    expect(site.log.join('\n')).not.toContain('planted');
  });
});

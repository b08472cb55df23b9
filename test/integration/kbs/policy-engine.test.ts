import { readFile, writeFile } from 'node:fs/promises';
import { describe, expect, test } from 'vitest';
import { readTemplate } from '../../../src/host/template.ts';
import { which } from '../../../src/host/tools.ts';
import { allowedByPolicy } from '../../../src/kbs/dev-kbs/judge.ts';
import { policyPath, writePolicy } from '../../../src/kbs/policy/policy.ts';
import { fillPolicy } from '../../../src/kbs/policy/text.ts';
import { asPrevious } from '../../../src/kbs/registry/previous.ts';
import { digestOf, imageOf } from '../../unit/kbs/records.ts';
import { ask, fixture, handshake, refusalOf } from './development-kbs.ts';

const opa = process.env.OPA ?? which('opa') ?? '';

/** Claims of a guest with an image's launch digest. */
function claims(word: string, changes: Record<string, unknown> = {}) {
  const snp = {
    measurement: digestOf(word),
    policy_debug_allowed: false,
    policy_migrate_ma: false,
    reported_tcb_bootloader: 4,
    reported_tcb_tee: 0,
    reported_tcb_snp: 22,
    reported_tcb_microcode: 213,
    ...changes,
  };
  return { submods: { cpu0: { 'ear.veraison.annotated-evidence': { snp } } } };
}

describe.skipIf(opa === '')('the generated policy, judged by Open Policy Agent', async () => {
  const template = await readTemplate('policy.rego');
  const images = [imageOf(1), imageOf(2)];
  const [one, two] = images.map(({ resourcePath }) => resourcePath) as [string, string];
  const policy = fillPolicy(template, images);
  const judge = (path: string, input: ReturnType<typeof claims>, text = policy) =>
    allowedByPolicy(opa, text, path, input);

  test('each image opens its own path, asked by old and new brokers', async () => {
    expect(await judge(one, claims('image 1'))).toBe(true);
    expect(await judge(two, claims('image 2'))).toBe(true);
  });

  test.each([
    ['the path of another image', two, claims('image 1')],
    ['an unknown path', 'keys/root/none', claims('image 1')],
    ['an unknown digest', one, claims('other')],
    ['debugging allowed', one, claims('image 1', { policy_debug_allowed: true })],
    ['migration allowed', one, claims('image 1', { policy_migrate_ma: true })],
    ['no word on debugging', one, claims('image 1', { policy_debug_allowed: undefined })],
    ['debugging off as a text', one, claims('image 1', { policy_debug_allowed: 'false' })],
  ])('denied: %s', async (_, path, input) => {
    expect(await judge(path, input)).toBe(false);
  });

  test('denied: sample evidence', async () => {
    const sample = { svn: '1', launch_digest: 'abcde', measurement: digestOf('image 1') };
    const input = { submods: { cpu0: { 'ear.veraison.annotated-evidence': { sample } } } };
    expect(await allowedByPolicy(opa, policy, one, input)).toBe(false);
  });

  describe('of an image that was built again under its id', () => {
    const old = imageOf(1);
    const present = {
      ...imageOf(1, { resourcePath: `${one}.2` }),
      digests: [{ ...old.digests[0]!, hex: digestOf('again') }],
    };
    const during = fillPolicy(template, [{ ...present, previous: asPrevious(old) }, imageOf(2)]);
    const after = fillPolicy(template, [present, imageOf(2)]);
    const retired = { ...asPrevious(old), status: 'retired' as const };

    test('opens to each its own key until the new one is there, and to nobody the other', async () => {
      expect(await judge(one, claims('image 1'), during)).toBe(true);
      expect(await judge(`${one}.2`, claims('again'), during)).toBe(true);
      expect(await judge(`${one}.2`, claims('image 1'), during)).toBe(false);
      expect(await judge(one, claims('again'), during)).toBe(false);
    });

    test('opens nothing to the old one afterwards, and leaves others alone', async () => {
      expect(fillPolicy(template, [{ ...present, previous: retired }, imageOf(2)])).toBe(after);
      expect(await judge(`${one}.2`, claims('again'), after)).toBe(true);
      for (const path of [one, `${one}.2`]) expect(await judge(path, claims('image 1'), after)).toBe(false);
      expect(await judge(one, claims('again'), after)).toBe(false);
      expect(await judge(two, claims('image 2'), after)).toBe(true);
    });
  });

  test('denied: everything, without images', async () => {
    expect(await judge(one, claims('image 1'), fillPolicy(template, []))).toBe(false);
  });

  test('the minimum TCB is a minimum, of numbers', async () => {
    const text = fillPolicy(template, images, { bootloader: 4, snp: 22 });
    expect(await judge(one, claims('image 1'), text)).toBe(true);
    expect(await judge(one, claims('image 1', { reported_tcb_snp: 23 }), text)).toBe(true);
    expect(await judge(one, claims('image 1', { reported_tcb_snp: 21 }), text)).toBe(false);
    expect(await judge(one, claims('image 1', { reported_tcb_snp: '99' }), text)).toBe(false);
    expect(await judge(one, claims('image 1', { reported_tcb_bootloader: undefined }), text)).toBe(false);
  });

  test('a policy that cannot be evaluated, or that answers old and new brokers differently, is an error', async () => {
    await expect(judge(one, claims('image 1'), 'package policy\nallow if {')).rejects.toMatchObject({
      type: 'PolicyEngine',
    });
    const uneven =
      'package policy\nimport rego.v1\ndefault allow := false\nallow if data.plugin == "resource"\n';
    await expect(judge(one, claims('image 1'), uneven)).rejects.toMatchObject({ type: 'PolicyEngine' });
  });

  test('the development KBS judges by the policy file as it is now', async () => {
    await using site = await fixture({ opa });
    const { cookie } = await handshake(site.kbs);
    const path = `/kbs/v0/resource/${site.image.resourcePath}`;
    expect((await ask(site.kbs, 'GET', path, { headers: { cookie } })).status).toBe(200);
    const file = policyPath(site.registryDirectory);
    const text = await readFile(file, 'utf8');
    await writeFile(file, text.replaceAll(digestOf('image 1'), digestOf('other')));
    expect(refusalOf(await ask(site.kbs, 'GET', path, { headers: { cookie } }))).toBe('PolicyEngine');
    await writeFile(file, 'package policy\nimport rego.v1\ndefault allow := false\n');
    expect(refusalOf(await ask(site.kbs, 'GET', path, { headers: { cookie } }))).toBe('PolicyDeny');
    await writePolicy(site.registryDirectory);
    expect((await ask(site.kbs, 'GET', path, { headers: { cookie } })).status).toBe(200);
  });

  test('a policy that allows everything still opens nothing but development images', async () => {
    await using site = await fixture({ opa });
    const file = policyPath(site.registryDirectory);
    await writeFile(file, 'package policy\nimport rego.v1\nallow := true\n');
    const { cookie } = await handshake(site.kbs);
    const reply = await ask(site.kbs, 'GET', '/kbs/v0/resource/keys/root/other', { headers: { cookie } });
    expect(refusalOf(reply)).toBe('PluginInternalError');
  });
});

import { createPublicKey, type JsonWebKey } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { templatePath } from '../../../../src/host/template.ts';
import { policyFinding } from '../../../../src/kbs/client/check-admin.ts';
import { clockFinding, releaseRange, tokenFinding } from '../../../../src/kbs/client/check-answers.ts';
import type { KbsReply } from '../../../../src/kbs/client/connection.ts';
import {
  forgedTokens,
  selfMadeAdminToken,
  strangersAdminToken,
} from '../../../../src/kbs/client/forged-tokens.ts';
import { jwtClaims } from '../../../../src/kbs/client/jwt-claims.ts';
import { admission, believedButNotAllowed, makeProbes } from '../../../../src/kbs/client/probes.ts';
import { storedPolicy } from '../../../../src/kbs/client/requests.ts';
import { verifyJwt } from '../../../../src/kbs/jwt.ts';
import { fillPolicy } from '../../../../src/kbs/policy/text.ts';
import { resourcePathPattern } from '../../../../src/kbs/registry/record.ts';
import { imageOf } from '../records.ts';

function reply(status: number, variant?: string, body = ''): KbsReply {
  const type = `https://github.com/confidential-containers/kbs/errors/${variant}`;
  const bytes = Buffer.from(variant === undefined ? body : JSON.stringify({ type, detail: '' }));
  return { status, type: '', location: undefined, date: undefined, body: bytes };
}

describe('the answer to a forged token', () => {
  test.each([
    ['TokenVerifierError', 'ok'],
    ['PolicyDeny', 'bad'],
    ['PolicyEngine', 'bad'],
    ['PolicyEngineError', 'bad'],
    ['PluginInternalError', 'bad'],
    ['JweError', 'bad'],
    ['TokenNotFound', 'unknown'],
    ['SomethingOfTomorrow', 'unknown'],
  ])('%s is %s', (variant, severity) => {
    expect(tokenFinding([reply(401, variant)]).severity).toBe(severity);
  });

  test('200 is the worst, a page of a proxy says nothing', () => {
    expect(tokenFinding([reply(200, undefined, '{}')]).severity).toBe('bad');
    expect(tokenFinding([reply(502, undefined, '<html>')]).severity).toBe('unknown');
  });

  test.each([
    ['TokenVerifierError', 'TokenVerifierError', 'ok'],
    ['TokenVerifierError', 'PolicyDeny', 'bad'],
    ['PolicyDeny', 'SomethingOfTomorrow', 'bad'],
    ['SomethingOfTomorrow', 'PolicyDeny', 'bad'],
    ['TokenVerifierError', 'SomethingOfTomorrow', 'unknown'],
  ])('of several the worst counts: %s, %s is %s', (one, other, severity) => {
    expect(tokenFinding([reply(401, one), reply(401, other)]).severity).toBe(severity);
  });
});

describe('the answer to a request for administrators', () => {
  test.each([
    [reply(401, 'AdminAuth'), 'refused'],
    [reply(401, 'AdminAuthAccess'), 'refused'],
    [reply(401, 'AdminAuthInitialization'), 'refused'],
    [reply(401, 'PolicyEngine'), 'admitted'],
    [reply(401, 'ParsePolicyError'), 'admitted'],
    [reply(401, 'PluginInternalError'), 'admitted'],
    [reply(401, 'RvpsError'), 'admitted'],
    [reply(200), 'admitted'],
    [reply(401, 'TokenNotFound'), 'unclear'],
    [reply(404, 'PluginNotFound'), 'unclear'],
    [reply(401, undefined, '<html>'), 'unclear'],
    [reply(500), 'unclear'],
  ])('%#: %s', (answer, expected) => expect(admission(answer)).toBe(expected));
});

describe('every probe is harmless', () => {
  const probes = makeProbes('keys/root');
  const path = (request: { path: string }) => request.path.replace('/kbs/v0/resource/', '');

  test('a read and a deletion are of a random name', () => {
    for (const request of [probes.asNobody, probes.deletion]) {
      expect(path(request)).toMatch(/^keys\/root\/(?:cvm-check-)?[0-9a-f]{24}$/);
      expect(path(request)).toMatch(resourcePathPattern);
    }
    expect(makeProbes('keys/root').deletion.path).not.toBe(probes.deletion.path);
  });

  test('what is stored has no legal path', () => {
    expect(path(probes.resource)).not.toMatch(resourcePathPattern);
    expect(probes.resource.body).toHaveLength(0);
  });

  test('a policy is no base64url', () => {
    for (const request of [probes.policy, probes.attestationPolicy]) {
      const { policy } = JSON.parse(Buffer.from(request.body!).toString()) as { policy: string };
      expect(policy).not.toMatch(/[\w-]/);
    }
  });

  test('the attestation policy has an id that no release allows', () => {
    expect(JSON.parse(Buffer.from(probes.attestationPolicy.body!).toString()).policy_id).not.toMatch(
      /^[\w-]+$/,
    );
  });

  test('reference values are of a version that does not exist', () => {
    expect(JSON.parse(Buffer.from(probes.referenceValues.body!).toString()).version).toBe('0.0.0');
  });
});

describe('an administrator who is believed and may not do this', () => {
  const denied = (reason: string, variant = 'AdminAuthAccess') => {
    const type = `https://github.com/confidential-containers/kbs/errors/${variant}`;
    const detail = `admin access denied for endpoint resource: Admin access denied: ${reason}`;
    return reply(401, undefined, JSON.stringify({ type, detail }));
  };
  test.each([
    ['Role not allowed', true],
    ['Audience not allowed', true],
    ['Cannot verify token with any of the issuers', false],
  ])('%s: %s', (reason, believed) => {
    expect(believedButNotAllowed(denied(reason))).toBe(believed);
    expect(believedButNotAllowed(denied(reason, 'AdminAuthInitialization'))).toBe(believed);
    expect(believedButNotAllowed(denied(reason, 'PolicyDeny'))).toBe(false);
  });

  test('no other answer says so', () => {
    expect(believedButNotAllowed(reply(401, undefined, 'Role not allowed'))).toBe(false);
    expect(believedButNotAllowed(reply(401, 'AdminAuth'))).toBe(false);
  });
});

describe('forged tokens', () => {
  const year = 365 * 86_400;
  const keyWithin = (jwk: unknown) => createPublicKey({ key: jwk as JsonWebKey, format: 'jwk' });

  test('are each signed by the key in their own header, and by another each time', async () => {
    const [one, other] = [await forgedTokens(1000), await forgedTokens(1000)];
    for (const [index, algorithm] of (['ES256', 'RS384'] as const).entries()) {
      const { header } = jwtClaims(one[index]!)!;
      expect(jwtClaims(other[index]!)!.header.jwk).not.toEqual(header.jwk);
      expect(header).toMatchObject({ alg: algorithm, jwk: { alg: algorithm } });
      expect(header.jwk).not.toHaveProperty('d');
      const own = { algorithm, key: keyWithin(header.jwk), now: 1000, leeway: 0 };
      expect(verifyJwt(one[index]!, own)).toMatchObject({ submods: { cpu0: { 'ear.status': 'affirming' } } });
      expect(() => verifyJwt(other[index]!, own)).toThrow(/another key/);
    }
  });

  test('the second has its key among the claims too, as the verifier CoCo looks for it', async () => {
    const { header, claims } = jwtClaims((await forgedTokens(1000))[1])!;
    expect(claims.jwk).toEqual(header.jwk);
    expect(JSON.stringify(claims)).not.toMatch(/"(?:d|p|q)":/);
  });

  test('no clock within years is a reason to refuse one', async () => {
    const identity = { iss: 'a', role: 'b' };
    const tokens = [
      ...(await forgedTokens(1000)),
      selfMadeAdminToken(identity, 1000),
      strangersAdminToken(identity, 1000),
    ];
    for (const token of tokens) {
      const { claims } = jwtClaims(token)!;
      expect(claims.exp).toBeGreaterThan(9 * year);
      expect(claims).not.toHaveProperty('nbf');
      expect(claims).not.toHaveProperty('iat');
    }
  });

  test("an administrator's has the issuer, role and audience it is given, and its own key in the header", () => {
    const identity = { iss: 'us', role: 'builder', aud: ['kbs'] };
    const token = selfMadeAdminToken(identity, 1000);
    const { header, claims } = jwtClaims(token)!;
    expect(claims).toMatchObject(identity);
    expect(header.jwk).toMatchObject({ alg: 'ES256', kty: 'EC' });
    expect(header.jwk).not.toHaveProperty('d');
    verifyJwt(token, { algorithm: 'ES256', key: keyWithin(header.jwk), now: 1000, leeway: 0 });
  });
});

describe('the clock', () => {
  test.each([
    [0, 'ok'],
    [-4_000, 'ok'],
    [50_000, 'ok'],
    [90_000, 'warn'],
    [-90_000, 'warn'],
    [1_000_000, 'bad'],
    [undefined, 'unknown'],
  ])('%s ms ahead is %s', (ahead, severity) => expect(clockFinding(ahead).severity).toBe(severity));

  test('says which way', () => {
    expect(clockFinding(90_000).what).toContain('90 s ahead of');
    expect(clockFinding(-90_000).what).toContain('90 s behind');
  });
});

describe('the release', () => {
  const nothing = {
    attestationPolicyOpen: undefined,
    policyForm: undefined,
    deletes: undefined,
    healthy: false,
  };
  test.each([
    ['the field', { attestationPolicyOpen: true, policyForm: 'text', deletes: false }, { before: 15 }],
    [
      'v0.15 to v0.18',
      { attestationPolicyOpen: false, policyForm: 'text', deletes: false },
      { from: 15, before: 19 },
    ],
    [
      'v0.19',
      { attestationPolicyOpen: false, policyForm: 'names', deletes: false },
      { from: 19, before: 20 },
    ],
    ['v0.20', { attestationPolicyOpen: false, policyForm: 'names', deletes: true }, { from: 20 }],
    [
      'v0.21',
      { attestationPolicyOpen: false, policyForm: 'names', deletes: true, healthy: true },
      { from: 21 },
    ],
    ['nothing known', {}, {}],
    ['a contradiction', { attestationPolicyOpen: true, policyForm: 'names' }, undefined],
  ] as const)('%s', (_, traits, range) => expect(releaseRange({ ...nothing, ...traits })).toEqual(range));
});

describe('the stored policy', () => {
  const ours = fillPolicy(readFileSync(templatePath('policy.rego'), 'utf8'), [imageOf(1)], undefined);
  const shipped = `package policy

default allow = false

allow {
	not input["submods"]["cpu0"]["ear.veraison.annotated-evidence"]["sample"]
}
`;
  test('the shipped one is recognised as such', () => {
    const finding = policyFinding({ text: shipped });
    expect(finding.severity).toBe('bad');
    expect(finding.what).toContain('any confidential VM is given any key');
  });

  test('an always-true rule on old engines is found', () => {
    const text = 'package policy\n\ndefault allow := false\n\nallow if {\n\tinput.x == 1\n}\n';
    expect(policyFinding({ text })).toMatchObject({
      severity: 'bad',
      what: expect.stringContaining('rego.v1'),
    });
  });

  test('what is not shown is unknown, never ok', () => {
    expect(policyFinding(undefined).severity).toBe('unknown');
    expect(policyFinding({ names: ['resource-policy'] }).severity).toBe('unknown');
  });

  test('the one of this builder is well', () => expect(policyFinding({ text: ours }).severity).toBe('ok'));

  test('both forms of answers are told apart', () => {
    const text = Buffer.from(ours).toString('base64url');
    expect(storedPolicy({ body: Buffer.from(text) })).toEqual({ text: ours });
    expect(storedPolicy({ body: Buffer.from('["resource-policy"]') })).toEqual({
      names: ['resource-policy'],
    });
    expect(storedPolicy({ body: Buffer.from('<html>') })).toBeUndefined();
    expect(storedPolicy({ body: Buffer.from('{"policy":"x"}') })).toBeUndefined();
  });
});

import { randomBytes } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import type { KbsReply } from '../../../../src/kbs/client/connection.ts';
import { quotable, spellings } from '../../../../src/kbs/client/failure.ts';
import {
  errorBody,
  type Operation,
  refusal,
  refusalMeaning,
  refusalMeanings,
} from '../../../../src/kbs/client/refusals.ts';

const reply = (status: number, body: string | Buffer = '', type = 'text/plain'): KbsReply => ({
  status,
  type,
  location: undefined,
  date: undefined,
  body: Buffer.from(body),
});

const kbsError = (status: number, variant: string, detail = '') =>
  reply(
    status,
    JSON.stringify({ type: `https://github.com/confidential-containers/kbs/errors/${variant}`, detail }),
    'application/json',
  );

/** An answer for each entry of the table, in the table's order. */
const examples: [string, Operation, KbsReply][] = [
  ['too-large', 'set-policy', reply(413)],
  ['cannot-delete', 'delete-resource', reply(405)],
  ['method', 'set-resource', reply(405)],
  ['no-such-plugin', 'set-resource', kbsError(404, 'PluginNotFound', 'Plugin resource not found')],
  ['no-such-endpoint', 'set-reference-values', kbsError(404, 'PluginNotFound')],
  ['bad-path', 'set-resource', kbsError(404, 'InvalidRequestPath')],
  ['admin-clock', 'set-policy', kbsError(401, 'AdminAuth', 'Admin auth error: Token has expired')],
  [
    'admin-refused',
    'set-resource',
    kbsError(
      401,
      'AdminAuthInitialization',
      'failed to initialize [admin] configuration: Admin access denied',
    ),
  ],
  ['admin-refused', 'set-policy', kbsError(401, 'AdminAuthAccess', 'Role not allowed')],
  ['policy-refused', 'set-policy', kbsError(401, 'PolicyEngine', 'Policy engine error')],
  ['policy-refused', 'set-policy', kbsError(401, 'ParsePolicyError', 'expected token at 3:1')],
  ['policy-store', 'get-policy', kbsError(401, 'PolicyEngineError')],
  ['not-deleted', 'delete-resource', kbsError(401, 'PluginInternalError', 'Plugin internal error')],
  ['not-stored', 'set-resource', kbsError(401, 'PluginInternalError', 'Plugin internal error')],
  ['store', 'get-policy', kbsError(401, 'PluginInternalError')],
  ['no-such-value', 'get-reference-values', kbsError(401, 'RvpsError')],
  ['reference-values-refused', 'set-reference-values', kbsError(401, 'RvpsError')],
  ['attestation-service', 'set-reference-values', kbsError(401, 'AttestationError')],
  ['guest-request', 'set-resource', kbsError(401, 'TokenNotFound', 'Attestation Token not found')],
  ['refused', 'set-policy', kbsError(401, 'SomethingOfTomorrow', 'new words')],
  ['redirect', 'set-policy', reply(308)],
  ['proxy-auth', 'set-policy', reply(403, '<html>', 'text/html')],
  ['busy', 'set-policy', reply(429)],
  ['broken', 'set-policy', reply(500)],
  ['gateway', 'set-policy', reply(502, '<html>', 'text/html')],
  ['bad-request', 'set-policy', reply(400, 'The plain HTTP request was sent to HTTPS port')],
  ['not-a-kbs', 'set-policy', reply(404, '<html><h1>Not Found</h1>', 'text/html')],
];

describe('the table of refusals', () => {
  test.each(
    examples.map((example, index) => [index, ...example] as const),
  )('entry %i, "%s", is what %s gets', (index, id, operation, answer) => {
    expect(refusalMeaning(answer, operation).id).toBe(id);
    expect(refusalMeaning(answer, operation)).toBe(refusalMeanings[index]);
  });

  test('has an example for every entry', () => {
    expect(examples.map(([id]) => id)).toEqual(refusalMeanings.map(({ id }) => id));
  });

  test('never repeats a refusal of the KBS itself', () => {
    const repeated = refusalMeanings.filter(({ retry }) => retry).map(({ id }) => id);
    expect(repeated).toEqual(['busy', 'broken', 'gateway']);
  });
});

test.each([
  [reply(401, '<html>login</html>', 'text/html')],
  [reply(401, '{"error":"unauthorized"}', 'application/json')],
  [reply(401, '{"type":"https://elsewhere.example/errors/AdminAuth","detail":""}')],
  [reply(401, 'null')],
  [reply(401, Buffer.from([0xff, 0xfe]))],
  [reply(200, '{"type":"https://github.com/confidential-containers/kbs/errors/AdminAuth","detail":""}')],
])('what is no error of a KBS is not taken for one, %#', (answer) => {
  expect(errorBody(answer)).toBeUndefined();
});

test('the field release hides why a policy is refused: that is said', () => {
  const failure = refusal('store the policy at X', examples[9]![2], 'set-policy', []);
  expect(failure.message).toContain('releases before v0.18 do not say why');
  expect(failure.hint).toContain('cvm policy lint');
});

test("the newest release's parser is quoted", () => {
  expect(refusal('store', examples[10]![2], 'set-policy', []).message).toContain('expected token at 3:1');
});

test('its misleading words about configuration are not repeated', () => {
  const failure = refusal('store the key', examples[7]![2], 'set-resource', []);
  expect(failure.message).not.toContain('failed to initialize');
  expect(failure.message).toContain("does not accept the administrator's credential");
});

test('no text of a server brings a secret, or more than a line of it', () => {
  const token = 'aaa.bbb.ccc';
  const detail = `you sent ${token}\nand ${'0123456789abcdef'.repeat(8)} \n${'x'.repeat(1000)}`;
  const failure = refusal('store', kbsError(401, 'Unknown', detail), 'set-resource', [
    token,
    '0123456789abcdef'.repeat(8),
  ]);
  expect(failure.message).not.toContain(token);
  expect(failure.message).not.toContain('0123456789abcdef');
  expect(failure.message).toContain('you sent [secret] and [secret] xxx');
  expect(failure.message.length).toBeLessThan(450);
});

describe('a key is masked', () => {
  const key = randomBytes(64).toString('hex');
  const secrets = spellings(Buffer.from(key));
  const shown = (text: string) => quotable(text, secrets);

  test('whole, in either case, and within other letters', () => {
    expect(shown(`got ${key}!`)).toBe('got [secret]!');
    expect(shown(`got ${key.toUpperCase()}!`)).toBe('got [secret]!');
    expect(shown(`x${key.slice(0, 60).toUpperCase()}${key.slice(60)}y`)).toBe('x[secret]y');
  });

  test('in any piece of 16 digits or more', () => {
    for (const [from, to] of [
      [0, 16],
      [50, 66],
      [112, 128],
      [1, 128],
      [0, 127],
    ]) {
      const piece = key.slice(from, to);
      expect(shown(`(${piece}) (${piece.toUpperCase()})`)).toBe('([secret]) ([secret])');
    }
    expect(shown(`${key.slice(0, 40)}...${key.slice(-20)}`)).toBe('[secret]...[secret]');
  });

  test('but not what only looks like one', () => {
    const [digest, short] = [randomBytes(48).toString('hex'), key.slice(0, 15)];
    expect(shown(`${digest} ${short}`)).toBe(`${digest} ${short}`);
  });

  test('in base64, wherever it stands in what was encoded, and in a piece of that', () => {
    for (const before of ['', 'a', '{"', 'key']) {
      const text = Buffer.from(`${before}${key}"}`).toString('base64');
      const left = shown(text).replaceAll('[secret]', '');
      expect(left.length).toBeLessThan(16);
      const mid = text.slice(20, 60);
      expect(shown(`(${mid})`).replaceAll('[secret]', '').length).toBeLessThan(10);
    }
    expect(shown(Buffer.from(key).toString('base64url'))).toBe('[secret]');
  });

  test('where a long text is cut, too', () => {
    for (const pad of [4070, 4085, 280, 290]) {
      const text = shown(`${' '.repeat(pad)}${key}`);
      for (let at = 0; at + 16 <= key.length; at += 1) expect(text).not.toContain(key.slice(at, at + 16));
    }
  });

  test('and a text of many megabytes takes no time', () => {
    const text = key.slice(0, 15).repeat(300_000);
    const began = performance.now();
    shown(text);
    expect(performance.now() - began).toBeLessThan(1000);
  });
});

test('a redirect is named, not followed', () => {
  const answer = { ...reply(302), location: 'https://elsewhere.example/' };
  expect(refusal('store', answer, 'set-policy', []).message).toContain('https://elsewhere.example/');
});

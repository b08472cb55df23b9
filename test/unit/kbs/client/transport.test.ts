import { describe, expect, test } from 'vitest';
import {
  transportFailure,
  transportMeaning,
  transportMeanings,
} from '../../../../src/kbs/client/transport.ts';

const coded = (code: string) => Object.assign(new Error('secret words of the library'), { code });

describe('the table of transport failures', () => {
  const pairs = transportMeanings.flatMap((entry) => entry.codes.map((code) => [code, entry.id] as const));

  test.each(pairs)('%s means "%s"', (code, id) => expect(transportMeaning(coded(code)).id).toBe(id));

  test('names each code once, so that no entry hides another', () => {
    const codes = pairs.map(([code]) => code);
    expect(new Set(codes).size).toBe(codes.length);
  });

  test('never repeats what verification of the server has refused', () => {
    const repeated = transportMeanings.filter(({ retry }) => retry).map(({ id }) => id);
    expect(repeated).toEqual(['refused', 'name-service', 'unreachable', 'dropped']);
  });
});

test('a failure says what was tried, what it means and what to do, not the words of the library', () => {
  const failure = transportFailure('store the policy at https://kbs', coded('CERT_HAS_EXPIRED'));
  expect(failure.message).toBe(
    'cannot store the policy at https://kbs: its certificate, or the one that issued it, has expired (CERT_HAS_EXPIRED)',
  );
  expect(failure.hint).toContain('renew');
});

test.each([
  [coded('ESOMETHING')],
  [new Error('x')],
  ['text'],
  [undefined],
])('what is in no table is still a sentence, %#', (error) => {
  const failure = transportFailure('ask', error);
  expect(failure.id).toBe('connection');
  expect(failure.message).toMatch(/^cannot ask: the connection failed \(\w+\)$/);
});

test("a failed handshake is told by OpenSSL's reason, which Node leaves in the message", () => {
  const error = (reason: string) =>
    Object.assign(
      new Error(
        `write EPROTO 0080A8:error:0A00042E:SSL routines:ssl3_read_bytes:${reason}:rec_layer_s3.c:1605:`,
      ),
      { code: 'EPROTO' },
    );
  expect(transportMeaning(error('tlsv1 alert protocol version')).id).toBe('old-tls');
  expect(transportMeaning(error('wrong version number')).id).toBe('not-tls');
  expect(transportMeaning(error('something new')).id).toBe('connection');
});

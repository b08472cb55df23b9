import { randomBytes } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { Secret } from '../../../src/host/secret.ts';
import { formsOf } from '../../../src/inspect/key-material/needles.ts';
import { KeyScanner, mostCandidates } from '../../../src/inspect/key-material/scanner.ts';

const digits = randomBytes(64).toString('hex');
const pem = `-----BEGIN PRIVATE KEY-----\n${'A'.repeat(64)}\n-----END PRIVATE KEY-----\n`;

/** What is seen where the bytes come in chunks of so many. */
function scan(content: Buffer, size: number, needles: Buffer[] = []) {
  const candidates = new Set<string>();
  const scanner = new KeyScanner(needles, candidates);
  for (let at = 0; at < content.length; at += size) scanner.push(content.subarray(at, at + size));
  return { sightings: scanner.sightings, candidates: [...candidates] };
}

const filling = (length: number) => Buffer.alloc(length, '.');

describe.each([1, 100, 127, 4096, 1 << 20])('in chunks of %i bytes', (size) => {
  it('a key is found wherever it lies', () => {
    for (const before of [0, 1, 127, 128, 1023, 1024, 4095]) {
      const content = Buffer.concat([filling(before), Buffer.from(digits), filling(300)]);
      expect(scan(content, size, [Buffer.from(digits)])).toEqual({
        sightings: [{ kind: 'known key', offset: before }],
        candidates: [digits],
      });
    }
  });

  it('a private key is found once', () => {
    const content = Buffer.concat([filling(3000), Buffer.from(pem), filling(3000)]);
    expect(scan(content, size).sightings).toEqual([{ kind: 'private key', offset: 3000 }]);
  });
});

describe('what is no key', () => {
  it.each([
    ['127 digits', digits.slice(1)],
    ['129 digits', `${digits}0`],
    ['256 digits', digits + digits],
    ['capitals', digits.toUpperCase()],
    ['digits with a break', `${digits.slice(0, 64)}\n${digits.slice(64)}`],
  ])('%s', (_, text) => {
    expect(scan(Buffer.concat([filling(500), Buffer.from(text), filling(500)]), 1 << 20).candidates).toEqual(
      [],
    );
  });

  it.each([
    ['a label that a program looks for', '-----BEGIN PRIVATE KEY-----\0-----BEGIN RSA'],
    ['a public key', pem.replaceAll('PRIVATE', 'PUBLIC')],
  ])('%s', (_, text) => expect(scan(Buffer.from(text), 1 << 20).sightings).toEqual([]));
});

it('keeps no more candidates than can be tried, whatever is in the file', () => {
  const many = Array.from({ length: 500 }, () => `${randomBytes(64).toString('hex')}\n`).join('');
  expect(scan(Buffer.from(many), 4096).candidates).toHaveLength(mostCandidates + 1);
});

it('takes a key as bytes, hex, capitals and base64, and of hex what it says', () => {
  const forms = formsOf(new Secret(Buffer.from(digits)));
  const raw = Buffer.from(digits, 'hex');
  for (const text of [digits, raw.toString('base64'), Buffer.from(digits).toString('base64')]) {
    expect(
      forms.some((form) => text.includes(form.toString('latin1'))),
      text,
    ).toBe(true);
  }
  expect(forms.some((form) => form.equals(raw))).toBe(true);
});

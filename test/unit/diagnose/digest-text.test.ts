import { describe, expect, it } from 'vitest';
import { parseDigest } from '../../../src/diagnose/index.ts';

const digest = Buffer.from(Array.from({ length: 48 }, (_, index) => index * 5));
const hex = digest.toString('hex');

describe('a digest as text', () => {
  it.each([
    ['hex', hex],
    ['upper case', hex.toUpperCase()],
    ['0x', `0x${hex}`],
    ['a line', ` ${hex}\n`],
    ['base64 of the bytes', digest.toString('base64')],
    ['base64 of the hex text', Buffer.from(hex).toString('base64')],
    ['base64 of 0x and the hex text', Buffer.from(`0x${hex}`).toString('base64')],
    ['the same without padding', Buffer.from(`0x${hex}`).toString('base64').replace(/=+$/, '')],
    ['base64 of a line of it', Buffer.from(`${hex}\n`).toString('base64')],
  ])('is read from %s', (_form, text) => {
    expect(parseDigest(text)).toEqual(digest);
  });

  it.each([
    ['nothing', ''],
    ['a digit too few', hex.slice(1)],
    ['a digit too many', `${hex}0`],
    ['a SHA-256, though it could be base64', 'ab'.repeat(32)],
    ['a SHA-512', 'ab'.repeat(64)],
    ['base64 of 47 bytes', digest.subarray(1).toString('base64')],
    ['base64 with a blank', digest.toString('base64').replace(/^..../, '$& ')],
    ['bits behind the end', `${Buffer.from(`0x${hex}`).toString('base64').replace(/.==?$/, '')}`],
    ['a path', '/tmp/report.bin'],
    ['a long text', 'A'.repeat(100_000)],
  ])('is not read from %s', (_form, text) => {
    expect(parseDigest(text)).toBeUndefined();
  });
});

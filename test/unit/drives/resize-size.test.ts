import { expect, test } from 'vitest';
import { parseSize, sizeText, targetBytes } from '../../../src/drives/resize/size.ts';

const gib = 2 ** 30;

test.each([
  ['21G', gib, 21 * gib],
  ['+20G', gib, 21 * gib],
  ['-512M', gib, gib / 2],
  ['1.5g', gib, 1.5 * gib],
  ['2048MiB', gib, 2 * gib],
  ['+1T', gib, 1025 * gib],
  // A drive that somebody gave an odd size gets a whole one.
  ['+1M', 5 * 2 ** 20 + 512, 6 * 2 ** 20],
])('%s of a drive of %d bytes is %d bytes', (text, present, bytes) => {
  expect(targetBytes(parseSize(text), present)).toBe(bytes);
});

test.each([
  '',
  'G',
  '20',
  '20X',
  '+ 20G',
  '1e3G',
  '100K',
  '0G',
  '++1G',
  '0x10G',
  '1.0000001G',
  '1,5G',
])('%j is refused as a size', (text) => {
  expect(() => parseSize(text)).toThrow(/cannot use the size/);
});

test('a drive is neither emptied nor made larger than any host keeps', () => {
  expect(() => targetBytes(parseSize('-1G'), gib)).toThrow(/the drive has only 1 GiB/);
  expect(() => targetBytes(parseSize('21T'), gib)).toThrow(/larger than 16384 GiB/);
});

test('sizes are shown exactly', () => {
  expect([21 * gib, 1.5 * gib, 1000].map(sizeText)).toEqual(['21 GiB', '1536 MiB', '1000 bytes']);
});

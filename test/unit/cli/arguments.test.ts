import { describe, expect, it } from 'vitest';
import { wholeNumber } from '../../../src/cli/arguments.ts';

describe('wholeNumber', () => {
  it.each([
    ['1', 1],
    ['900', 900],
  ])('takes %s', (text, value) => {
    expect(wholeNumber('--timeout', text)).toBe(value);
  });

  it.each([
    '0',
    '-1',
    '1.5',
    '1e3',
    '0x10',
    '',
    ' 1',
    '٣',
    '99999999999',
    '1; poweroff',
  ])('refuses %j', (text) => {
    expect(() => wholeNumber('--timeout', text)).toThrow(
      expect.objectContaining({ message: expect.stringContaining('--timeout'), status: 2 }),
    );
  });
});

import { expect, test } from 'vitest';
import { kbsAddress } from '../../../src/boot/development-boot.ts';
import { UserError } from '../../../src/host/errors.ts';

test('host and port of a key broker', () => {
  expect(kbsAddress('https://127.0.0.1:8999')).toEqual({ host: '127.0.0.1', port: 8999 });
  expect(kbsAddress('https://[::1]')).toEqual({ host: '::1', port: 443 });
});

test.each([
  'nonsense',
  'https://[:8999',
  '',
  'http://127.0.0.1:8999',
])('%j is refused as what it is', (url) => {
  expect(() => kbsAddress(url)).toThrow(UserError);
  expect(() => kbsAddress(url)).toThrow(/^cannot use the KBS at .*: /);
});

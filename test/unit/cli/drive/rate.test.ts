import { expect, it } from 'vitest';
import { parseOwner, parsePlace } from '../../../../src/cli/drive/place.ts';
import { rateText } from '../../../../src/cli/drive/rate.ts';

it('progress tells the rate of the last seconds and the time left', () => {
  let now = 0;
  const text = rateText(() => now);
  expect(text(0, 1000 * 2 ** 20)).toBe('0 % (0 B of 1000 MiB)');
  now = 1;
  expect(text(100 * 2 ** 20, 1000 * 2 ** 20)).toBe('10 % (100 MiB of 1000 MiB), 100 MiB/s, 9.0 s left');
  now = 20;
  text(200 * 2 ** 20, 1000 * 2 ** 20);
  now = 22;
  // What was copied long ago does not count.
  expect(text(400 * 2 ** 20, 1000 * 2 ** 20)).toContain('100 MiB/s, 6.0 s left');
});

it('an owner is two numbers, or one for both', () => {
  expect(parseOwner('1000:100')).toEqual({ uid: 1000, gid: 100 });
  expect(parseOwner('7')).toEqual({ uid: 7, gid: 7 });
  for (const bad of ['root', '1:', ':1', '-1', '4294967295', '1:2:3', ''])
    expect(() => parseOwner(bad)).toThrow('--owner');
});

it('a place on a drive is told from a path of this machine', () => {
  expect(parsePlace('/training_data')).toBeUndefined();
  expect(parsePlace('/a:b/c')).toBeUndefined();
  expect(parsePlace(':/x')).toBeUndefined();
  expect(parsePlace(`${import.meta.filename}:/x/y:/z`)).toEqual({
    drive: import.meta.filename,
    path: '/x/y:/z',
  });
  expect(parsePlace(`${import.meta.filename}:`)).toEqual({ drive: import.meta.filename, path: '/' });
  expect(() => parsePlace('missing.qcow2:/x')).toThrow('there is no such file');
});

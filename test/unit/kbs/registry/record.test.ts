import { expect, test } from 'vitest';
import { imageRecord } from '../../../../src/kbs/registry/record.ts';
import { imageOf } from '../records.ts';

test('a complete record is accepted', () => {
  expect(imageRecord.safeParse(imageOf(1)).success).toBe(true);
  const development = imageOf(1, { kind: 'development', keyFile: '/state/disk.key' });
  expect(imageRecord.safeParse(development).success).toBe(true);
});

test.each([
  'keys/root',
  'keys/root/a/b',
  'keys//id',
  '/keys/root/id',
  'keys/root/.id',
  'keys/../id',
  'keys/root/a b',
  'keys/root/a%2F',
  'keys/root/a\n',
  'keys/root/"',
  `keys/root/${'a'.repeat(256)}`,
])('resource path %j is refused', (resourcePath) => {
  expect(imageRecord.safeParse(imageOf(1, { resourcePath })).success).toBe(false);
});

test('a production record that names a key file is refused', () => {
  expect(imageRecord.safeParse(imageOf(1, { keyFile: '/state/disk.key' })).success).toBe(false);
});

test.each(['two\nlines', 'tab\t', 'line\u2028separator', ''])('name %j is refused', (name) => {
  expect(imageRecord.safeParse(imageOf(1, { name })).success).toBe(false);
});

test('a launch digest that is not 96 lower-case hex digits is refused', () => {
  for (const hex of ['', 'a'.repeat(95), 'A'.repeat(96), `${'a'.repeat(96)}\n`]) {
    const digests = imageOf(1).digests.map((digest) => ({ ...digest, hex }));
    expect(imageRecord.safeParse(imageOf(1, { digests })).success).toBe(false);
  }
  expect(imageRecord.safeParse(imageOf(1, { digests: [] })).success).toBe(false);
});

test('an image that was taken over needs no more than digests, and at least one', () => {
  const adopted = (digests: string[]) =>
    imageOf(1, { digests: [], adopted: { at: '2026-01-02T03:04:05.000Z', digests } });
  expect(imageRecord.safeParse(adopted(['a'.repeat(96)])).success).toBe(true);
  expect(imageRecord.safeParse(adopted([])).success).toBe(false);
  expect(imageRecord.safeParse(adopted(['A'.repeat(96)])).success).toBe(false);
});

test('the files of a bundle may be listed, by name and SHA-256', () => {
  const accepts = (files: Record<string, string>) => imageRecord.safeParse(imageOf(1, { files })).success;
  const sha256 = 'a'.repeat(64);
  expect(imageOf(1).files).toBeUndefined();
  expect(accepts({ 'launch_vm.sh': sha256, 'OVMF.amdsev.fd': sha256 })).toBe(true);
  for (const name of ['', '../x', 'a/b', '.x', 'a\n']) {
    expect(accepts(Object.fromEntries([[name, sha256]])), name).toBe(false);
  }
  for (const hex of ['', 'A'.repeat(64), 'a'.repeat(63), `${sha256}\n`]) {
    expect(accepts({ vmlinuz: hex }), hex).toBe(false);
  }
  expect(accepts(Object.fromEntries(Array.from({ length: 33 }, (_, at) => [`f${at}`, sha256])))).toBe(false);
});

import { expect, test } from 'vitest';
import { differences } from '../../../../src/build/rebuild/differences.ts';

test('names every value that differs by its path, and nothing else', () => {
  const before = { a: 1, b: { c: [1, 2], d: 'x' }, gone: true };
  const after = { a: 1, b: { c: [1, 2, 3], d: 'x' }, come: null };
  expect(differences(before, after)).toEqual([
    'b.c: [1,2] -> [1,2,3]',
    'come: none -> null',
    'gone: true -> none',
  ]);
});

test('says nothing of equal values', () => {
  expect(differences({ a: [{ b: 1 }] }, { a: [{ b: 1 }] })).toEqual([]);
});

import fc from 'fast-check';
import { expect, test } from 'vitest';
import { firstJsonFault } from '../../../../src/kbs/registry/json-position.ts';

test.each([
  ['', 1, 1],
  ['{"a": 1,}', 1, 9],
  ['{"a": nothing}', 1, 7],
  ['{\n  "a": [1, 2,\n  "b": 3]}', 3, 6],
  ['{"a": 1} {', 1, 10],
  ['{"a": "unfinished', 1, 7],
  ['{"a" 1}', 1, 6],
  ["{'a': 1}", 1, 2],
  ['[1 2]', 1, 4],
  ['[01]', 1, 3],
  ['{"a":\t"\\x"}', 1, 7],
])('%j stops being JSON in line %i, column %i', (text, line, column) => {
  expect(() => JSON.parse(text)).toThrow();
  expect(firstJsonFault(text)).toEqual({ line, column });
});

test('valid JSON is read to its end', () => {
  fc.assert(
    fc.property(fc.json(), (text) => {
      expect(firstJsonFault(text)).toEqual({ line: 1, column: text.length + 1 });
    }),
  );
});

test('text cut anywhere has its fault before the cut', () => {
  const text = JSON.stringify({ a: [1, { b: 'c' }], d: null }, null, 1);
  for (let length = 0; length < text.length; length += 1) {
    const { line } = firstJsonFault(text.slice(0, length));
    expect(line).toBeLessThanOrEqual(text.slice(0, length).split('\n').length);
  }
});

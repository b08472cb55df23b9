import { expect, test } from 'vitest';
import { folderBudget } from '../../../src/host/folder-budget.ts';
import { MalformedError } from '../../../src/host/tar/bytes.ts';

/** Entries that are taken before the first that is too much; all of them where none is. */
function taken(paths: Iterable<string>, most?: number): number {
  const spend = folderBudget(most);
  let count = 0;
  try {
    for (const path of paths) {
      spend(path);
      count += 1;
    }
  } catch (error) {
    expect(error).toBeInstanceOf(MalformedError);
  }
  return count;
}

function* numbered(count: number, path: (i: number) => string): Generator<string> {
  for (let i = 0; i < count; i++) yield path(i);
}

test('a flat folder of two million empty files ends at some 200,000', () => {
  expect(taken(numbered(2_000_000, (i) => `f${i}`))).toBe(200_000);
});

test('folders that only names imply count as well, and so does the way through them', () => {
  expect(taken(numbered(2_000_000, (i) => `d${i}/f`))).toBeLessThan(200_001);
  expect(taken(numbered(2_000_000, (i) => `${i % 50_000}/${i}`))).toBeLessThan(450_000);
});

test('a million files in folders of a thousand are no burden', () => {
  const paths = numbered(1_000_000, (i) => `usr/${Math.floor(i / 1000)}/${i}`);
  expect(taken(paths)).toBe(1_000_000);
});

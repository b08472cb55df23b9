import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { compareCommandLines } from '../../../../src/bundle/verify/command-line.ts';
import { compareLines } from '../../../../src/bundle/verify/compare-lines.ts';

describe('compareCommandLines', () => {
  it.each([
    ['a=1 b', 'a=1 b', []],
    ['a=1 b', 'a=1 b init=/bin/sh', ['added init=/bin/sh']],
    ['a=1 b', 'b', ['removed a=1']],
    ['panic=-1 b', 'panic=0 b', ['changed panic=-1 to panic=0']],
    ['a a', 'a', ['removed a']],
    ['a=1 a=2', 'a=1 a=3', ['changed a=2 to a=3']],
    ['a b', 'b a', ['the same parameters in another order']],
    ['a b', 'a  b', ['the same parameters with other blanks']],
    ['a', '', ['removed a']],
  ])('%j against %j', (expected, found, lines) => {
    expect(compareCommandLines(expected, found)).toEqual(lines);
  });

  it('only counts where nearly all differs', () => {
    const words = (letter: string) => Array.from({ length: 30_000 }, (_, at) => `${letter}${at}`).join(' ');
    expect(compareCommandLines(words('a'), words('b'))).toEqual(['30000 parameters removed, 30000 added']);
  });
});

describe('compareLines', () => {
  const numbered = (lines: readonly string[]) => lines.map((text, at) => ({ line: at + 1, text }));
  const compare = (before: string, after: string) =>
    compareLines(numbered(before.split('')), numbered(after.split(''))).map(({ expected, found }) => [
      expected.map(({ line, text }) => `${line}${text}`).join(' '),
      found.map(({ line, text }) => `${line}${text}`).join(' '),
    ]);

  it.each([
    ['abc', 'abc', []],
    ['abc', 'axc', [['2b', '2x']]],
    ['abc', 'ac', [['2b', '']]],
    ['abc', 'abxc', [['', '3x']]],
    [
      'abcdef',
      'xbcdyf',
      [
        ['1a', '1x'],
        ['5e', '5y'],
      ],
    ],
    ['', 'ab', [['', '1a 2b']]],
    ['aa', 'a', [['2a', '']]],
  ])('%j against %j', (before, after, changes) => {
    expect(compare(before, after)).toEqual(changes);
  });

  it('leaves equal texts when its changes are undone', () => {
    const lines = fc.array(fc.constantFrom('a', 'b', 'c'), { maxLength: 12 });
    fc.assert(
      fc.property(lines, lines, (before, after) => {
        const changes = compareLines(numbered(before), numbered(after));
        const kept = (all: string[], side: 'expected' | 'found') => {
          const gone = new Set(changes.flatMap((change) => change[side].map(({ line }) => line)));
          return all.filter((_, at) => !gone.has(at + 1));
        };
        expect(kept(before, 'expected')).toEqual(kept(after, 'found'));
      }),
    );
  });

  it('takes texts too long to compare as one change', () => {
    const text = (letter: string) => numbered(Array.from({ length: 3000 }, (_, at) => `${letter}${at}`));
    expect(compareLines(text('a'), text('b'))).toHaveLength(1);
  });
});

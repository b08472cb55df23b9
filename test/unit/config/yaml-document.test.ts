import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { formatProblem, parseCcConfig } from '../../../src/config/index.ts';
import { parseYaml } from '../../../src/config/yaml-document.ts';

const errorsOf = (text: string) => parseYaml(text, 'f.yml').errors.map(formatProblem);

describe('what is refused, and where', () => {
  it.each([
    ['an empty file', '', 'f.yml:1:1: the file is empty'],
    ['only comments', '# a\n# b\n', 'the file is empty'],
    ['a list', '- a\n', 'f.yml:1:1: the file must be a map'],
    ['a bare word', 'hello', 'the file must be a map'],
    ['a duplicate key', 'a: 1\nb: 2\na: 3\n', 'f.yml:3:1: the key "a" is given twice'],
    ['a tab as indent', 'a:\n\tb: 1\n', 'f.yml:2:1: a tab cannot indent YAML'],
    ['a second document', 'a: 1\n---\nb: 2\n', 'f.yml:2:1: the file holds a second YAML document'],
    ['an open bracket', 'a: [1\n', 'not valid YAML'],
    ['a tag', 'a: !!python/object:os.system x', 'tags ("!…") are not allowed'],
    ['an unknown alias', 'a: *b', 'f.yml:1:4: the alias "*b" names nothing above it'],
    ['a list as key', '? [a]\n: b', 'f.yml:1:3: a key must be plain text'],
    ['no key at all', ': b', 'a key must be plain text'],
    ['the key __proto__', 'a: {__proto__: 1}', 'f.yml:1:5: the key "__proto__" is not allowed'],
    ['a merge key', 'a: &a {b: 1}\nc: {<<: *a}', 'f.yml:2:5: the key "<<" is not allowed'],
    ['a NUL', 'a: 1\nb: x\u0000', 'f.yml:2:5: the file holds the control character U+0000'],
    ['an escape', 'a: \u001b[31m', 'f.yml:1:4: the file holds the control character U+001B'],
    [
      'bytes that are not UTF-8',
      Buffer.from([0x61, 0x3a, 0x20, 0xff]).toString(),
      'bytes that are not UTF-8',
    ],
    ['a list that holds itself', 'a: &a [*a]', 'nested too deeply'],
    ['deep nesting', `a: ${'['.repeat(60)}${']'.repeat(60)}`, 'nested too deeply'],
    ['nesting that exhausts the parser', '{'.repeat(50_000), 'nested too deeply'],
    ['more than a mebibyte', `a: ${'x'.repeat(1024 * 1024)}`, 'larger than 1 MiB'],
  ])('%s', (_, text, message) => {
    expect(errorsOf(text)[0]).toContain(message);
    expect(parseYaml(text, 'f.yml').document).toBeUndefined();
  });

  it('an alias bomb, at once', () => {
    const row = (from: string) => `[${Array(9).fill(`*${from}`).join(',')}]`;
    const text = `a: &a [x]\nb: &b ${row('a')}\nc: &c ${row('b')}\nd: &d ${row('c')}\ne: &e ${row('d')}\nf: ${row('e')}`;
    expect(errorsOf(text)).toEqual([
      'f.yml:1:1: the file is nested too deeply, or its aliases repeat too much',
    ]);
  });
});

describe('what is taken', () => {
  it('a byte order mark and CRLF, with places as an editor counts them', () => {
    expect(parseYaml('\ufeffa: 1\r\nb: [2, 3]\r\n', 'f.yml').document?.value).toEqual({ a: 1, b: [2, 3] });
    const { document } = parseYaml('\ufeffa: 1\r\nb: [2, 3]\r\n', 'f.yml');
    expect(document!.problemAt(['a'], 'x')).toMatchObject({ line: 1, column: 4 });
    expect(document!.problemAt(['b', 1], 'x')).toMatchObject({ line: 2, column: 8 });
  });

  it('tabs between a key and its value', () => {
    expect(parseYaml('a:\t1\n', 'f.yml').document?.value).toEqual({ a: 1 });
  });
});

describe('places', () => {
  const { document } = parseYaml(
    'top:\n  inner:\n    - {k: v}\nempty:\nshared: &s {x: 1}\nagain: *s\n',
    'f.yml',
  );
  it.each([
    [['top', 'inner', 0, 'k'], 3, 11],
    [['top', 'inner', 0, 'missing'], 3, 7],
    [['top', 'nothing'], 2, 3],
    [['empty'], 4, 1],
    [['again', 'x'], 5, 16],
    [['nowhere'], 1, 1],
  ])('of %j', (path, line, column) => {
    expect(document!.problemAt(path, 'x')).toMatchObject({ line, column });
  });

  it('of a key', () => {
    expect(document!.problemAtKey(['top', 'inner'], 'x')).toMatchObject({ line: 2, column: 3 });
  });
});

describe('any text at all', () => {
  const fragment = fc.constantFrom(
    'docker_archive',
    'user_config',
    'cc_issuers',
    'hosts_entries',
    ': ',
    '\n',
    '  ',
    '- ',
    '[',
    ']',
    '{',
    '}',
    '&a ',
    '*a',
    '"',
    "'",
    '|',
    '#',
    '!x',
    '\t',
    '~',
    '1',
    'x',
    ',',
    '? ',
    '<<',
    '---\n',
    '\u0000',
    '\u2028',
    '💾',
    '__proto__',
    'toString',
  );
  it('gives a configuration or errors, never an exception', () => {
    fc.assert(
      fc.property(
        fc.array(fragment, { maxLength: 40 }).map((parts) => parts.join('')),
        (text) => {
          const { config, errors, warnings } = parseCcConfig(text, 'f.yml');
          expect(config === undefined).toBe(errors.length > 0);
          for (const problem of [...errors, ...warnings]) {
            expect(problem.line).toBeGreaterThan(0);
            expect(problem.column).toBeGreaterThan(0);
            expect(formatProblem(problem)).not.toMatch(/[\p{Cc}\u2028]/u);
          }
        },
      ),
      { numRuns: 2000 },
    );
  });
});

describe('a file of very many keys', () => {
  const keys = (count: number) => Array.from({ length: count }, (_, i) => `k${i}: 1\n`).join('');

  it('is refused past 50,000', () => {
    expect(errorsOf(keys(60_000))).toEqual([
      expect.stringContaining('the file holds more than 50000 settings'),
    ]);
  });

  it('names each key that is given twice, up to ten, in every map', () => {
    const twice = Array.from({ length: 40 }, (_, i) => `  k${i % 20}: 1\n`).join('');
    const errors = errorsOf(`a:\n${twice}`);
    expect(errors).toHaveLength(10);
    expect(errors[0]).toBe('f.yml:22:3: the key "k0" is given twice: keep one');
  });
});

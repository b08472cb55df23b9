import fc from 'fast-check';
import { expect, test } from 'vitest';
import { fillTemplate, plainText, shellQuote } from '../../../src/host/template.ts';

test('every value is quoted, a list item by item', () => {
  expect(fillTemplate('a=@A@ b=(@B@)', { A: "it's", B: [1, '2 3'] }, shellQuote)).toBe(
    `a='it'\\''s' b=('1' '2 3')`,
  );
});

test('missing and unknown names are refused', () => {
  expect(() => fillTemplate('@A@ @B@', { A: 1 }, plainText)).toThrow(/no value for B/);
  expect(() => fillTemplate('@A@', { A: 1, C: 2 }, plainText)).toThrow(/does not name C/);
  expect(() => fillTemplate('@CONSTRUCTOR@ @A@', { A: 1 }, plainText)).toThrow(/no value for CONSTRUCTOR/);
});

test('a value that looks like a placeholder or a replacement pattern stays as it is', () => {
  expect(fillTemplate('@A@ @B@', { A: '@B@', B: '$& $1' }, plainText)).toBe('@B@ $& $1');
});

test('mail addresses and array expansions are no placeholders', () => {
  // biome-ignore lint/suspicious/noTemplateCurlyInString: it is shell
  const text = 'me@example.com "${list[@]}" "$@"';
  expect(fillTemplate(text, {}, plainText)).toBe(text);
});

test('a quoted word ends only at its own quote, and NUL is refused', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), (value) => {
      fc.pre(!value.includes('\0'));
      const quoted = shellQuote(value);
      expect(quoted.slice(1, -1).replaceAll(`'\\''`, '')).not.toContain("'");
    }),
  );
  expect(() => shellQuote('\0')).toThrow();
});

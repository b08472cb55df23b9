import type { Token } from './tokens.ts';

/** A reference as far as it is written out: `input.submods.cpu0["a"][x]` is `input submods cpu0 a`. */
export interface Reference {
  path: readonly string[];
  /** Index of its first token. */
  first: number;
  /** Index behind its last token that belongs to `path`. */
  end: number;
  /** Goes on in brackets with something that is not a string. */
  indexed: boolean;
  /** A function that is called. */
  called: boolean;
}

const isMark = (token: Token | undefined, text: string) => token?.kind === 'mark' && token.text === text;

/** Words that are no references: keywords and values. */
const reserved = new Set(
  'package import default if else not some every in with as true false null'.split(' '),
);

/** All references among the tokens of a condition or value, also those inside of brackets and calls. */
export function referencesIn(tokens: readonly Token[]): Reference[] {
  const found: Reference[] = [];
  for (let first = 0; first < tokens.length; ) {
    const token = tokens[first]!;
    if (token.kind !== 'name' || reserved.has(token.text)) {
      first += 1;
      continue;
    }
    const path = [token.text];
    let end = first + 1;
    for (;;) {
      if (isMark(tokens[end], '.') && tokens[end + 1]?.kind === 'name') {
        path.push(tokens[end + 1]!.text);
        end += 2;
      } else if (
        isMark(tokens[end], '[') &&
        tokens[end + 1]?.kind === 'string' &&
        isMark(tokens[end + 2], ']')
      ) {
        path.push(tokens[end + 1]!.value);
        end += 3;
      } else break;
    }
    const next = tokens[end];
    found.push({ path, first, end, indexed: isMark(next, '['), called: isMark(next, '(') });
    first = end;
  }
  return found;
}

/** The call whose direct argument begins at an index: its function's name with dots, or undefined. */
export function callAround(tokens: readonly Token[], index: number): string | undefined {
  let depth = 0;
  for (let at = index - 1; at >= 0; at -= 1) {
    const token = tokens[at]!;
    if (token.kind !== 'mark') continue;
    if (token.text === ')' || token.text === ']' || token.text === '}') depth += 1;
    else if (depth > 0 && (token.text === '(' || token.text === '[' || token.text === '{')) depth -= 1;
    else if (token.text === '(') {
      return referencesIn(tokens.slice(0, at + 1))
        .find(({ called, end }) => called && end === at)
        ?.path.join('.');
    } else if (token.text === '[' || token.text === '{') return undefined;
  }
  return undefined;
}

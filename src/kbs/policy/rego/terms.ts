import { type Expression, isKeyword } from './statements.ts';
import { matchBrackets, type Token } from './tokens.ts';

/** A value or a condition, as far as it matters for what a rule asks. */
export type Term =
  | { kind: 'literal'; value: string | number | boolean | null }
  | { kind: 'array' | 'set'; items: readonly Term[] }
  | { kind: 'object'; entries: readonly (readonly [Term, Term])[] }
  | { kind: 'name'; name: string }
  /** `base.a["b"][c]`; a name with a dot behind it is a literal step. */
  | { kind: 'reference'; base: Term; steps: readonly Term[] }
  | { kind: 'call'; name: string; args: readonly Term[] }
  /** Operands with one operator between them, or with `several`. */
  | { kind: 'operation'; operator: string; operands: readonly Term[] }
  /** A comprehension, or what this reader does not understand: it may be defined, and true, for any request. */
  | { kind: 'opaque' };

/** One condition of a body. `some x in xs` is `some`; `not`, `every` and `with` are opaque. */
export type Condition =
  | { kind: 'some'; names: readonly string[]; domain: Term | undefined }
  | { kind: 'assign'; operator: ':=' | '='; target: Term; term: Term }
  | { kind: 'term'; term: Term }
  | { kind: 'opaque' };

const isMark = (token: Token | undefined, text: string) => token?.kind === 'mark' && token.text === text;
const isName = (token: Token | undefined, text: string) => token?.kind === 'name' && token.text === text;
const opaque = { kind: 'opaque' } as const;

/** Reads one condition. */
export function readCondition(tokens: Expression): Condition {
  const partner = matchBrackets(tokens).partner;
  const has = (at: number) => {
    const token = tokens[at];
    return isName(token, 'not') || isName(token, 'every') || isName(token, 'with');
  };
  const top: number[] = [];
  for (let at = 0; at < tokens.length; at = Math.max(at, partner[at] ?? at) + 1) top.push(at);
  if (top.some(has)) return opaque;
  if (isName(tokens[0], 'some')) return readSome(tokens);
  const assign = top.find((at) => isMark(tokens[at], ':=') || isMark(tokens[at], '='));
  if (assign === undefined) return { kind: 'term', term: readTerm(tokens) };
  const operator = tokens[assign]!.text as ':=' | '=';
  return {
    kind: 'assign',
    operator,
    target: readTerm(tokens.slice(0, assign)),
    term: readTerm(tokens.slice(assign + 1)),
  };
}

function readSome(tokens: Expression): Condition {
  const names: string[] = [];
  let at = 1;
  for (; tokens[at]?.kind === 'name' && !isKeyword(tokens[at]!.text); at += 2) {
    names.push(tokens[at]!.text);
    if (!isMark(tokens[at + 1], ',')) break;
  }
  const next = tokens[at + 1];
  if (next === undefined) return { kind: 'some', names, domain: undefined };
  return isName(next, 'in') ? { kind: 'some', names, domain: readTerm(tokens.slice(at + 2)) } : opaque;
}

/** Reads a value. */
export function readTerm(tokens: readonly Token[]): Term {
  const reader = new TermReader(tokens);
  try {
    const term = reader.expression();
    return reader.isDone ? term : opaque;
  } catch (error) {
    if (error instanceof NotUnderstood) return opaque;
    throw error;
  }
}

/** Thrown inside of the reader only. */
class NotUnderstood extends Error {}

const operators = new Set(['==', '!=', '<', '>', '<=', '>=', '+', '-', '*', '/', '%', '&', '|', '=', ':=']);

class TermReader {
  readonly #tokens: readonly Token[];
  readonly #partner: readonly number[];
  #at = 0;

  constructor(tokens: readonly Token[]) {
    this.#tokens = tokens;
    this.#partner = matchBrackets(tokens).partner;
  }

  get isDone(): boolean {
    return this.#at === this.#tokens.length;
  }

  get #next(): Token | undefined {
    return this.#tokens[this.#at];
  }

  expression(): Term {
    const operands = [this.#operand()];
    const found: string[] = [];
    while (this.#next !== undefined) {
      const { kind, text } = this.#next;
      if (!(kind === 'mark' && operators.has(text)) && !isName(this.#next, 'in')) break;
      this.#at += 1;
      found.push(text);
      operands.push(this.#operand());
    }
    const [operator, ...more] = found;
    if (operator === undefined) return operands[0]!;
    // Membership of what is undefined is false in regorus, not undefined: how it binds would matter.
    if (more.length > 0 && found.includes('in')) return opaque;
    return { kind: 'operation', operator: more.length > 0 ? 'several' : operator, operands };
  }

  #operand(): Term {
    const token = this.#next;
    if (token === undefined) throw new NotUnderstood();
    const close = this.#partner[this.#at];
    this.#at += 1;
    if (token.kind === 'string') return { kind: 'literal', value: token.value };
    if (token.kind === 'number') return { kind: 'literal', value: Number(token.text) };
    if (token.kind === 'name') return this.#steps(this.#named(token.text));
    if (close === undefined) throw new NotUnderstood();
    if (token.text === '(') {
      const inner = this.expression();
      if (this.#at !== close) throw new NotUnderstood();
      this.#at = close + 1;
      return inner;
    }
    return this.#steps(this.#collection(token.text, close));
  }

  #named(name: string): Term {
    if (name === 'true' || name === 'false') return { kind: 'literal', value: name === 'true' };
    if (name === 'null') return { kind: 'literal', value: null };
    if (isKeyword(name)) throw new NotUnderstood();
    let end = this.#at;
    let called = name;
    while (isMark(this.#tokens[end], '.') && this.#tokens[end + 1]?.kind === 'name') {
      called += `.${this.#tokens[end + 1]!.text}`;
      end += 2;
    }
    if (!isMark(this.#tokens[end], '(')) return { kind: 'name', name };
    const close = this.#partner[end]!;
    this.#at = end + 1;
    return { kind: 'call', name: called, args: this.#list(close) };
  }

  #collection(open: string, close: number): Term {
    for (let at = this.#at; at < close; at = Math.max(at, this.#partner[at] ?? at) + 1) {
      if (!isMark(this.#tokens[at], '|')) continue;
      this.#at = close + 1;
      return opaque;
    }
    if (open === '[') return { kind: 'array', items: this.#list(close) };
    const entries: [Term, Term][] = [];
    const items: Term[] = [];
    while (this.#at < close) {
      const item = this.expression();
      if (isMark(this.#next, ':')) {
        this.#at += 1;
        entries.push([item, this.expression()]);
      } else items.push(item);
      this.#comma(close);
    }
    this.#at = close + 1;
    if (items.length === 0) return { kind: 'object', entries };
    if (entries.length > 0) throw new NotUnderstood();
    return { kind: 'set', items };
  }

  #list(close: number): Term[] {
    const items: Term[] = [];
    while (this.#at < close) {
      items.push(this.expression());
      this.#comma(close);
    }
    this.#at = close + 1;
    return items;
  }

  #comma(close: number): void {
    if (isMark(this.#next, ',')) this.#at += 1;
    else if (this.#at !== close) throw new NotUnderstood();
  }

  #steps(base: Term): Term {
    const steps: Term[] = [];
    for (;;) {
      const key = this.#tokens[this.#at + 1];
      if (isMark(this.#next, '.') && key?.kind === 'name') {
        steps.push({ kind: 'literal', value: key.text });
        this.#at += 2;
      } else if (isMark(this.#next, '[')) {
        const close = this.#partner[this.#at]!;
        this.#at += 1;
        const step = this.expression();
        if (this.#at !== close) throw new NotUnderstood();
        this.#at = close + 1;
        steps.push(step);
      } else return steps.length === 0 ? base : { kind: 'reference', base, steps };
    }
  }
}

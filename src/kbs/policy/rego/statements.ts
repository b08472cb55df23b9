import { type Comment, type Fault, matchBrackets, scanRego, type Token } from './tokens.ts';

/** One condition of a rule's body. */
export type Expression = readonly Token[];

/** One way in which a rule yields a value: its first body, a further one, or an `else`. */
export interface Branch {
  /** What stands behind `:=` or `=`; empty means true. */
  value: readonly Token[];
  /** Introduced by `if`. */
  hasIf: boolean;
  /** A body in braces without `if`, as Rego was written before version 1. */
  withoutIf: boolean;
  body: readonly Expression[];
  isElse: boolean;
}

interface Placed {
  /** Offsets of the first character and of the end of the last token. */
  start: number;
  end: number;
}

export interface PackageStatement extends Placed {
  kind: 'package';
  path: string;
}

export interface ImportStatement extends Placed {
  kind: 'import';
  path: string;
  alias: string | undefined;
}

export interface Rule extends Placed {
  kind: 'rule';
  isDefault: boolean;
  /** First part of the rule's name. */
  name: string;
  /** `complete`: one value; `function`: with arguments; `partial`: a set, an object or a dotted name. */
  shape: 'complete' | 'function' | 'partial';
  /** Where a set rule says `contains`. */
  containsAt: number | undefined;
  /** Tokens of the head behind the name: keys and arguments. */
  head: readonly Token[];
  branches: readonly Branch[];
}

export type Statement = PackageStatement | ImportStatement | Rule;

/** A policy text, read. Where `faults` is not empty the statements are those that could be read. */
export interface Module {
  statements: readonly Statement[];
  comments: readonly Comment[];
  faults: readonly Fault[];
}

const infix = new Set([':=', '=', '==', '!=', '<', '>', '<=', '>=', '+', '-', '*', '/', '%', '&', '|']);
const infixNames = new Set(['in', 'with', 'as']);
const prefixNames = new Set(['not', 'some', 'every', ...infixNames]);
const keywords = new Set(['package', 'import', 'default', 'if', 'else', ...prefixNames]);

/** A word of the language, which can be no name. */
export const isKeyword = (word: string): boolean => keywords.has(word);

const isMark = (token: Token | undefined, text: string) => token?.kind === 'mark' && token.text === text;
const isName = (token: Token | undefined, text: string) => token?.kind === 'name' && token.text === text;

function endsOperand(token: Token): boolean {
  if (token.kind === 'mark') return token.text === ')' || token.text === ']' || token.text === '}';
  return token.kind !== 'name' || !keywords.has(token.text);
}

function startsOperand(token: Token): boolean {
  if (token.kind === 'mark') return token.text === '(' || token.text === '[' || token.text === '{';
  return token.kind !== 'name' || !infixNames.has(token.text);
}

/** True where an expression goes on across a line's end. */
function goesOn(before: Token, next: Token): boolean {
  if (!endsOperand(before)) return true;
  if (next.kind === 'name') return infixNames.has(next.text);
  return next.kind === 'mark' && (infix.has(next.text) || next.text === '.' || next.text === ',');
}

/** Reads a policy text into its statements. Rego before and from version 1 on is read alike. */
export function readModule(text: string): Module {
  const { tokens, comments, faults } = scanRego(text);
  const { partner, fault } = matchBrackets(tokens);
  if (fault !== undefined) return { statements: [], comments, faults: [...faults, fault] };
  const reader = new Reader(tokens, partner);
  const statements = reader.statements();
  return { statements, comments, faults: [...faults, ...reader.faults] };
}

/** Thrown inside of the reader only. */
class Unreadable extends Error {}

class Reader {
  readonly faults: Fault[] = [];
  readonly #tokens: readonly Token[];
  readonly #partner: readonly number[];
  #at = 0;

  constructor(tokens: readonly Token[], partner: readonly number[]) {
    this.#tokens = tokens;
    this.#partner = partner;
  }

  statements(): Statement[] {
    const found: Statement[] = [];
    while (this.#at < this.#tokens.length) {
      const first = this.#at;
      try {
        const statement = this.#statement();
        if (this.#next !== undefined && !this.#next.newline) {
          throw new Unreadable('two statements stand on one line, or this one is not Rego from here on');
        }
        found.push(statement);
      } catch (error) {
        if (!(error instanceof Unreadable)) throw error;
        const token = this.#tokens[Math.min(this.#at, this.#tokens.length - 1)]!;
        this.faults.push({ at: token.start, message: error.message });
        this.#skipLine(first);
      }
    }
    return found;
  }

  get #next(): Token | undefined {
    return this.#tokens[this.#at];
  }

  /** Goes to the first token outside of brackets that begins a line, behind the one at `first`. */
  #skipLine(first: number): void {
    let at = Math.max(this.#at, first);
    do {
      const partner = this.#partner[at];
      at = (partner !== undefined && partner > at ? partner : at) + 1;
    } while (at < this.#tokens.length && !this.#tokens[at]!.newline);
    this.#at = at;
  }

  #statement(): Statement {
    const start = this.#next!.start;
    const end = () => this.#tokens[this.#at - 1]!.end;
    if (this.#takeName('package')) return { kind: 'package', path: this.#path(), start, end: end() };
    if (this.#takeName('import')) {
      const path = this.#path();
      const alias = this.#takeName('as') ? this.#name('a name') : undefined;
      return { kind: 'import', path, alias, start, end: end() };
    }
    const isDefault = this.#takeName('default');
    const name = this.#name('a rule');
    const head = this.#head();
    const branches = this.#branches();
    return { kind: 'rule', isDefault, name, ...head, branches, start, end: end() };
  }

  #takeName(text: string): boolean {
    if (!isName(this.#next, text)) return false;
    this.#at += 1;
    return true;
  }

  #takeMark(text: string): boolean {
    if (!isMark(this.#next, text)) return false;
    this.#at += 1;
    return true;
  }

  #name(what: string): string {
    const token = this.#next;
    if (token?.kind !== 'name' || keywords.has(token.text)) throw new Unreadable(`${what} was expected here`);
    this.#at += 1;
    return token.text;
  }

  /** `a.b["c"]`, as `a.b.c`. */
  #path(): string {
    const parts = [this.#name('a name')];
    for (;;) {
      if (this.#takeMark('.')) {
        const token = this.#next;
        if (token?.kind !== 'name') throw new Unreadable('a name was expected here');
        parts.push(token.text);
        this.#at += 1;
      } else if (isMark(this.#next, '[') && !this.#next!.newline) {
        const key = this.#tokens[this.#at + 1];
        if (key?.kind !== 'string') throw new Unreadable('a string was expected in these brackets');
        parts.push(key.value);
        this.#at = this.#partner[this.#at]! + 1;
      } else return parts.join('.');
    }
  }

  #head(): Pick<Rule, 'shape' | 'containsAt' | 'head'> {
    const first = this.#at;
    let shape: Rule['shape'] = 'complete';
    for (;;) {
      const token = this.#next;
      if (isMark(token, '(') && !token!.newline) {
        shape = 'function';
        this.#at = this.#partner[this.#at]! + 1;
      } else if (isMark(token, '[') && !token!.newline) {
        shape = 'partial';
        this.#at = this.#partner[this.#at]! + 1;
      } else if (isMark(token, '.')) {
        shape = 'partial';
        this.#at += 2;
      } else break;
    }
    const contains = isName(this.#next, 'contains') && !this.#next!.newline ? this.#next!.start : undefined;
    if (contains !== undefined) {
      this.#at += 1;
      shape = 'partial';
      this.#term();
    }
    return { shape, containsAt: contains, head: this.#tokens.slice(first, this.#at) };
  }

  #branches(): Branch[] {
    const branches = [this.#branch(false)];
    for (;;) {
      if (isMark(this.#next, '{') && branches.at(-1)!.body.length > 0) {
        branches.push({ value: [], hasIf: false, withoutIf: true, body: this.#braces(), isElse: false });
      } else if (this.#takeName('else')) branches.push(this.#branch(true));
      else return branches;
    }
  }

  #branch(isElse: boolean): Branch {
    const value = this.#takeMark(':=') || this.#takeMark('=') ? this.#term() : [];
    const hasIf = this.#takeName('if');
    if (isMark(this.#next, '{')) {
      return { value, hasIf, withoutIf: !hasIf, body: this.#braces(), isElse };
    }
    return { value, hasIf, withoutIf: false, body: hasIf ? [this.#term()] : [], isElse };
  }

  /** Tokens of one term or condition outside of braces, up to where a body, an `else` or a statement begins. */
  #term(): Token[] {
    const first = this.#at;
    const isEvery = isName(this.#next, 'every');
    const lists = isEvery || isName(this.#next, 'some');
    let braces = 0;
    while (this.#next !== undefined) {
      const token = this.#next;
      const before = this.#at > first ? this.#tokens[this.#at - 1] : undefined;
      if (isName(token, 'if') || isName(token, 'else')) break;
      if (isMark(token, ';') || isMark(token, ':') || (isMark(token, ',') && !lists)) break;
      if (before !== undefined && endsOperand(before)) {
        const opensEvery = isEvery && isMark(token, '{') && braces === 0;
        if (opensEvery) braces += 1;
        else if (token.newline ? !goesOn(before, token) : isMark(token, '{')) break;
        else if (!token.newline && startsOperand(token) && !isMark(token, '[') && !isMark(token, '(')) break;
      }
      this.#at = (this.#partner[this.#at] ?? this.#at) + 1;
    }
    if (this.#at === first) throw new Unreadable('a value or a condition was expected here');
    return this.#tokens.slice(first, this.#at);
  }

  /** The conditions between braces, separated by line ends and semicolons. */
  #braces(): Expression[] {
    const close = this.#partner[this.#at]!;
    const expressions: Token[][] = [];
    let current: Token[] = [];
    const finish = () => {
      if (current.length > 0) expressions.push(current);
      current = [];
    };
    for (let at = this.#at + 1; at < close; ) {
      const token = this.#tokens[at]!;
      const before = current.at(-1);
      if (isMark(token, ';')) {
        finish();
        at += 1;
        continue;
      }
      const opensEvery = isName(current[0], 'every') && isMark(token, '{');
      if (before !== undefined && token.newline && !goesOn(before, token) && !opensEvery) finish();
      const stop = this.#partner[at] ?? at;
      current.push(...this.#tokens.slice(at, stop + 1));
      at = stop + 1;
    }
    finish();
    if (expressions.length === 0) throw new Unreadable('a body must hold a condition');
    this.#at = close + 1;
    return expressions;
  }
}

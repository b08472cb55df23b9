import { messageOf } from '../../host/errors.ts';
import { ShellSyntaxError, shellTokens, type Token, type Word, type WordPart } from './words.ts';

/** A place in the script's text: UTF-16 offsets, end exclusive. */
export type Span = readonly [start: number, end: number];

/** What was read: the value and the line to change it at, or why it cannot be told without running the script. */
export type Reading<T> = ({ value: T; line: number } | { cause: string; line: number | undefined }) & {
  /** Everything in the text that was read for it. */
  spans: readonly Span[];
};

/** One assignment to a variable. */
export interface Assignment {
  line: number;
  /** Of the text after `=`. */
  span: Span;
  /** Text after `=`, as written. */
  raw: string;
  parts: readonly WordPart[];
  /** Tokens between the parentheses of an array, by their places among all. */
  elements: readonly [first: number, end: number] | undefined;
  /** True for a plain `=` that stands alone as a command. */
  simple: boolean;
}

/** Longest script that is looked at, characters; the builder writes some 8000. */
const longest = 1 << 16;
const assignmentPattern = /^([A-Za-z_]\w*)(\[[^\]]*\])?(\+?)=/;
/** Built-ins that run text which is nowhere to be read; `\.` is the dot of a regular expression. */
const evaluators = new Set(['eval', 'source', '.']);

/**
 * The words and variables of a bash script, read and never run. What a variable holds is told only where the script
 * sets it once, plainly: everything that might set it otherwise makes it unreadable.
 */
export class ScriptVariables {
  readonly tokens: readonly Token[] = [];
  /** Why nothing of the script can be read. */
  readonly problem: { cause: string; line: number | undefined } | undefined;
  readonly #assignments = new Map<string, Assignment[]>();
  readonly #literals = new Map<string, number[]>();
  readonly #opaque: { raw: string; line: number }[] = [];
  readonly #evaluated: number[] = [];
  readonly #read = new Map<string, Reading<string>>();
  /** Stand-ins for variables that are known to hold something that is not written out. */
  readonly #known: ReadonlyMap<string, { raw: string; value: string }>;

  /** @param known by variable: the one text it may be set to, and what that means */
  constructor(text: string, known: Readonly<Record<string, { raw: string; value: string }>> = {}) {
    this.#known = new Map(Object.entries(known));
    try {
      if (text.length > longest) throw new Error(`it is longer than ${longest} characters`);
      if (text.includes('\0')) throw new Error('it holds a NUL byte');
      this.tokens = shellTokens(text);
      this.#collect(text);
    } catch (error) {
      const line = error instanceof ShellSyntaxError ? error.line : undefined;
      this.problem = { cause: messageOf(error), line };
    }
  }

  #collect(text: string): void {
    const closing = this.#closingParentheses();
    for (const [index, token] of this.tokens.entries()) {
      if (token.kind !== 'word') continue;
      const { parts, line } = token;
      const only = parts.length === 1 ? parts[0]! : undefined;
      if (only?.kind === 'text') {
        const lines = this.#literals.get(only.text) ?? [];
        if (lines.length < 100) this.#literals.set(only.text, [...lines, line]);
        if (evaluators.has(only.text) && token.raw !== '\\.') this.#evaluated.push(line);
      }
      for (const part of parts) {
        // A command substitution is a process of its own and cannot set this script's variables.
        if (part.kind === 'opaque' && /^(?:\$\{|\$?\(\()/.test(part.raw)) {
          this.#opaque.push({ raw: part.raw, line });
        }
      }
      const match = assignmentPattern.exec(token.raw.replaceAll('\\\n', ''));
      if (match === null) continue;
      const assignment = this.#assignment(text, index, match, closing);
      this.#assignments.set(match[1]!, [...(this.#assignments.get(match[1]!) ?? []).slice(-9), assignment]);
    }
  }

  /** For each token, the place of the first closing parenthesis at or after it. */
  #closingParentheses(): (number | undefined)[] {
    const closing = new Array<number | undefined>(this.tokens.length);
    let next: number | undefined;
    for (let index = this.tokens.length - 1; index >= 0; index -= 1) {
      const token = this.tokens[index]!;
      if (token.kind === 'operator' && token.text === ')') next = index;
      closing[index] = next;
    }
    return closing;
  }

  #assignment(
    text: string,
    index: number,
    match: RegExpExecArray,
    closing: readonly (number | undefined)[],
  ): Assignment {
    const word = this.tokens[index] as Word;
    const [prefix] = match;
    const [first, ...rest] = word.parts;
    const head =
      first?.kind === 'text' && first.text.startsWith(prefix) ? first.text.slice(prefix.length) : '';
    const parts = head === '' ? rest : [{ kind: 'text', text: head } as const, ...rest];
    const opens = this.tokens[index + 1];
    let last = index;
    let elements: Assignment['elements'];
    if (parts.length === 0 && opens?.kind === 'operator' && opens.text === '(' && opens.start === word.end) {
      const closes = closing[index];
      if (closes !== undefined) {
        last = closes;
        elements = [index + 2, closes];
      }
    }
    const span: Span = [word.start + prefix.length, this.tokens[last]!.end];
    const plain = match[2] === undefined && match[3] === '' && first?.kind === 'text';
    return {
      line: word.line,
      span,
      raw: text.slice(...span),
      parts,
      elements,
      simple: plain && this.#standsAlone(index, last),
    };
  }

  #standsAlone(first: number, last: number): boolean {
    const ends = (token: Token | undefined) =>
      token === undefined ||
      token.kind === 'comment' ||
      (token.kind === 'operator' && (token.text === '\n' || token.text === ';'));
    return ends(this.tokens[first - 1]) && ends(this.tokens[last + 1]);
  }

  /** Every assignment to a variable, in order; at most ten. */
  assignments(name: string): readonly Assignment[] {
    return this.#assignments.get(name) ?? [];
  }

  /** Lines that may set a variable otherwise than by an assignment: `read name`, `${name:=…}`, `((name=…))`, `eval`. */
  otherSetters(name: string): number[] {
    const inExpansion = new RegExp(
      `\\b${name}\\b(?:\\[[^\\]]{0,40}\\])?\\s{0,9}(?:[^\\s\\w"'\\])}]{0,3}=|\\+\\+|--)|(?:\\+\\+|--)\\s{0,9}${name}\\b`,
    );
    return [
      ...(this.#literals.get(name) ?? []),
      ...this.#opaque.filter(({ raw }) => inExpansion.test(raw)).map(({ line }) => line),
      ...this.#evaluated,
    ];
  }

  /** The one plain assignment to a variable. */
  #onlyAssignment(name: string): Assignment | (Reading<never> & { cause: string }) {
    const all = this.assignments(name);
    const spans = this.#known.has(name) ? [] : all.map(({ span }) => span);
    const [first] = all;
    if (first === undefined) return { cause: `no line sets ${name}`, line: undefined, spans };
    const { line } = first;
    const [again] = this.otherSetters(name);
    if (all.length > 1) {
      const lines = all.map((one) => one.line).join(', ');
      return { cause: `${name} is set more than once, at lines ${lines}`, line, spans };
    }
    if (again !== undefined) return { cause: `line ${again} may set ${name} again`, line, spans };
    if (first.simple) return first;
    return { cause: `${name} is not set by a plain ${name}=… of its own`, line, spans };
  }

  /** What a variable holds. */
  variable(name: string): Reading<string> {
    const read = this.#read.get(name);
    if (read !== undefined) return read;
    // Found again while it is being read, it is set from itself.
    this.#read.set(name, { cause: `${name} is set from itself`, line: undefined, spans: [] });
    const reading = this.#variable(name);
    this.#read.set(name, reading);
    return reading;
  }

  #variable(name: string): Reading<string> {
    const found = this.#onlyAssignment(name);
    if ('cause' in found) return found;
    const { line, span, raw, parts, elements } = found;
    const known = this.#known.get(name);
    if (known?.raw === raw) return { value: known.value, line, spans: [] };
    const spans = known === undefined ? [span] : [];
    if (elements !== undefined) return { cause: `${name} is a list`, line, spans };
    const value = this.#join(parts, { start: span[0], line, assigned: true });
    // A stand-in's own line is no part of the value: it says where files are, not which.
    return { ...value, line, spans: [...spans, ...value.spans] };
  }

  /** What the elements of an array are. */
  list(name: string): Reading<string[]> {
    const found = this.#onlyAssignment(name);
    if ('cause' in found) return found;
    const { line, span, elements } = found;
    if (elements === undefined) return { cause: `${name} is not a list in parentheses`, line, spans: [span] };
    const values: string[] = [];
    for (const element of this.tokens.slice(...elements)) {
      if (element.kind === 'operator' && element.text !== '\n') {
        return { cause: `${name} holds more than words`, line, spans: [span] };
      }
      if (element.kind !== 'word') continue;
      const one = this.#join(element.parts, { start: span[0], line, assigned: false });
      if ('cause' in one) return { ...one, line, spans: [span] };
      values.push(one.value);
    }
    return { value: values, line, spans: [span] };
  }

  /** What a word comes to. The line is that of the variable, where the word is nothing but one. */
  word(word: Word): Reading<string> {
    const value = this.#join(word.parts, { start: word.start, line: word.line, assigned: false });
    const written = word.parts.filter((part) => part.kind !== 'text' || part.text !== '');
    const [only] = written;
    if (written.length !== 1 || only?.kind !== 'variable') return value;
    return { ...value, line: this.assignments(only.name)[0]?.line ?? word.line };
  }

  /** @param place where the parts stand; `assigned` in an assignment, where the shell splits nothing */
  #join(
    parts: readonly WordPart[],
    { start, line, assigned }: { start: number; line: number; assigned: boolean },
  ): Reading<string> {
    let text = '';
    const spans = new Map<number, Span>();
    const stop = (cause: string, at = line) => ({ cause, line: at, spans: [...spans.values()] });
    for (const part of parts) {
      if (part.kind === 'text') {
        text += part.text;
      } else if (part.kind === 'opaque') {
        return stop(`${shorten(part.raw)} is worked out only when the script runs`);
      } else {
        const inner = this.variable(part.name);
        for (const span of inner.spans) spans.set(span[0], span);
        if ('cause' in inner) return stop(inner.cause, inner.line);
        if (this.assignments(part.name)[0]!.span[0] > start) {
          return stop(`${part.name} is set only after line ${line} uses it`, inner.line);
        }
        if (!part.quoted && !assigned && !/^[\w.,:=@%+/-]+$/.test(inner.value)) {
          return stop(`$${part.name} is not quoted, so the shell splits it`);
        }
        text += inner.value;
      }
      if (text.length > longest) return stop('it is too long');
    }
    return { value: text, line, spans: [...spans.values()] };
  }
}

function shorten(raw: string): string {
  const line = raw.replaceAll(/\s+/g, ' ');
  return line.length <= 60 ? line : `${line.slice(0, 57)}...`;
}

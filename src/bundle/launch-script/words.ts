/** A piece of a shell word. */
export type WordPart =
  | { kind: 'text'; text: string }
  /** `$name` or `${name}`; `quoted` within double quotes. */
  | { kind: 'variable'; name: string; quoted: boolean }
  /** What only a shell can work out: other expansions, substitutions, patterns, braces, `~`. */
  | { kind: 'opaque'; raw: string };

/** A word, an operator or a comment of a shell script, by its place in the text (UTF-16 offsets, end exclusive). */
export type Token = { start: number; end: number; line: number } & (
  | { kind: 'word'; raw: string; parts: readonly WordPart[] }
  | { kind: 'operator'; text: string }
  | { kind: 'comment' }
);
export type Word = Extract<Token, { kind: 'word' }>;

/** A script that a shell would refuse, or one nested beyond reason. */
export class ShellSyntaxError extends Error {
  readonly line: number;

  constructor(cause: string, line: number) {
    super(cause);
    this.line = line;
  }
}

const operators = [';;&', '<<<', '<<-', ';;', ';&', '&&', '||', '<<', '>>', '|&', '&>', '<&', '>&'] as const;
const ends = new Set([' ', '\t', '\n', ';', '&', '|', '<', '>', '(', ')']);
const deepest = 64;

/**
 * Splits a bash script into words, without running or expanding anything. A flat reading: it knows quoting, comments,
 * here-documents and where substitutions end, not the grammar. Takes time in proportion to the text.
 * @throws ShellSyntaxError for quotes, substitutions or here-documents without an end.
 */
export function shellTokens(text: string): Token[] {
  return new Lexer(text).tokens();
}

class Lexer {
  readonly #text: string;
  #at = 0;
  #line = 1;
  #lineFrom = 0;
  #depth = 0;

  constructor(text: string) {
    this.#text = text;
  }

  tokens(): Token[] {
    const found: Token[] = [];
    const documents: { end: string; tabs: boolean }[] = [];
    let document: '<<' | '<<-' | undefined;
    while (this.#at < this.#text.length) {
      const start = this.#at;
      const line = this.#lineAt(start);
      const character = this.#text[start]!;
      if (character === ' ' || character === '\t') {
        this.#at += 1;
      } else if (this.#text.startsWith('\\\n', start)) {
        this.#at += 2;
      } else if (character === '#') {
        this.#toEndOfLine();
        found.push({ kind: 'comment', start, end: this.#at, line });
      } else if (character === '\n') {
        this.#at += 1;
        found.push({ kind: 'operator', text: '\n', start, end: this.#at, line });
        for (const { end, tabs } of documents.splice(0)) this.#skipDocument(end, tabs, line);
      } else if (this.#text.startsWith('((', start)) {
        this.#at += 2;
        this.#skip(')', 1);
        const raw = this.#text.slice(start, this.#at);
        found.push({ kind: 'word', start, end: this.#at, line, raw, parts: [{ kind: 'opaque', raw }] });
      } else if (ends.has(character)) {
        const operator = operators.find((one) => this.#text.startsWith(one, start)) ?? character;
        this.#at += operator.length;
        found.push({ kind: 'operator', text: operator, start, end: this.#at, line });
        if (operator === '<<' || operator === '<<-') document = operator;
      } else {
        const parts = this.#word();
        const raw = this.#text.slice(start, this.#at);
        found.push({ kind: 'word', start, end: this.#at, line, raw, parts });
        if (document === undefined) continue;
        // Quotes in a delimiter only say that the body is not expanded.
        documents.push({ end: raw.replaceAll(/['"\\]/g, ''), tabs: document === '<<-' });
        document = undefined;
      }
    }
    if (documents.length > 0) this.#fail('a here-document has no end', this.#at);
    return found;
  }

  #word(): WordPart[] {
    const parts: WordPart[] = [];
    const text = (added: string) => {
      const last = parts.at(-1);
      if (last?.kind === 'text') last.text += added;
      else parts.push({ kind: 'text', text: added });
    };
    const opaque = (raw: string) => parts.push({ kind: 'opaque', raw });
    const start = this.#at;
    while (this.#at < this.#text.length && !ends.has(this.#text[this.#at]!)) {
      const character = this.#text[this.#at]!;
      if (character === '\\') {
        const next = this.#text[this.#at + 1];
        this.#at += 2;
        if (next !== '\n') text(next ?? '\\');
      } else if (character === "'") {
        const from = this.#at + 1;
        this.#skipSingle();
        text(this.#text.slice(from, this.#at - 1));
      } else if (character === '"') {
        this.#double(parts, text);
      } else if (character === '$' || character === '`') {
        this.#expansion(parts, text, false);
      } else {
        this.#at += 1;
        if ('*?[]{}'.includes(character) || (character === '~' && this.#at === start + 1)) opaque(character);
        else text(character);
      }
    }
    // A backslash as the script's last character.
    this.#at = Math.min(this.#at, this.#text.length);
    return parts;
  }

  #double(parts: WordPart[], text: (added: string) => void): void {
    const opened = this.#at;
    this.#at += 1;
    text('');
    while (this.#text[this.#at] !== '"') {
      const character = this.#text[this.#at];
      if (character === undefined) this.#fail('a double quote is not closed', opened);
      if (character === '\\') {
        const next = this.#text[this.#at + 1] ?? '';
        this.#at += 2;
        if (next !== '\n') text('$`"\\'.includes(next) ? next : `\\${next}`);
      } else if (character === '$' || character === '`') {
        this.#expansion(parts, text, true);
      } else {
        text(character);
        this.#at += 1;
      }
    }
    this.#at += 1;
  }

  #expansion(parts: WordPart[], text: (added: string) => void, quoted: boolean): void {
    const start = this.#at;
    const name = /^\$(?:([A-Za-z_]\w*)|\{([A-Za-z_]\w*)\})/.exec(this.#text.slice(start, start + 64));
    const cut = name !== null && name[1] !== undefined && name[0].length === 64;
    if (name !== null && !cut) {
      this.#at += name[0].length;
      parts.push({ kind: 'variable', name: (name[1] ?? name[2])!, quoted });
      return;
    }
    if (this.#skipExpansion(quoted)) parts.push({ kind: 'opaque', raw: this.#text.slice(start, this.#at) });
    else text('$');
  }

  /** Past what begins with `$` or a backquote; false for a `$` that stands for itself. */
  #skipExpansion(quoted: boolean): boolean {
    const opened = this.#at;
    const next = this.#text[opened + 1] ?? '';
    if (this.#text[opened] === '`') {
      this.#at += 1;
      while (this.#text[this.#at] !== '`') {
        if (this.#at >= this.#text.length) this.#fail('a backquote is not closed', opened);
        this.#at += this.#text[this.#at] === '\\' ? 2 : 1;
      }
      this.#at += 1;
      return true;
    }
    this.#at += 1;
    if (next === '(' || next === '{') {
      this.#at += 1;
      this.#skip(next === '(' ? ')' : '}');
    } else if (next === "'" && !quoted) {
      this.#at += 1;
      while (this.#text[this.#at] !== "'") {
        if (this.#at >= this.#text.length) this.#fail('a single quote is not closed', opened);
        this.#at += this.#text[this.#at] === '\\' ? 2 : 1;
      }
      this.#at += 1;
    } else if (next === '"' && !quoted) {
      this.#skipDouble();
    } else if (/^[A-Za-z_]$/.test(next)) {
      while (/^\w$/.test(this.#text[this.#at] ?? '')) this.#at += 1;
    } else if (/^[0-9@*#?!$-]$/.test(next)) {
      this.#at += 1;
    } else {
      return false;
    }
    return true;
  }

  /** Past the bracket that closes the one just read, and past `more` others around it. */
  #skip(close: ')' | '}', more = 0): void {
    const opened = this.#at;
    this.#depth += 1;
    if (this.#depth > deepest) this.#fail('it is nested too deeply', opened);
    let open = 1 + more;
    while (open > 0) {
      const character = this.#text[this.#at];
      if (character === undefined) this.#fail(`an expansion has no ${close}`, opened);
      if (character === '\\') this.#at += 2;
      else if (character === "'") this.#skipSingle();
      else if (character === '"') this.#skipDouble();
      else if (character === '$' || character === '`') this.#skipExpansion(false);
      else if (close === ')' && character === '#' && /[ \t\n;&|()<>]/.test(this.#text[this.#at - 1]!))
        this.#toEndOfLine();
      else {
        if (character === close) open -= 1;
        else if (close === ')' && character === '(') open += 1;
        this.#at += 1;
      }
    }
    this.#depth -= 1;
  }

  #skipSingle(): void {
    const end = this.#text.indexOf("'", this.#at + 1);
    if (end === -1) this.#fail('a single quote is not closed', this.#at);
    this.#at = end + 1;
  }

  #skipDouble(): void {
    const opened = this.#at;
    this.#at += 1;
    while (this.#text[this.#at] !== '"') {
      const character = this.#text[this.#at];
      if (character === undefined) this.#fail('a double quote is not closed', opened);
      if (character === '\\') this.#at += 2;
      else if (character === '$' || character === '`') this.#skipExpansion(true);
      else this.#at += 1;
    }
    this.#at += 1;
  }

  #skipDocument(end: string, tabs: boolean, line: number): void {
    while (this.#at < this.#text.length) {
      const from = this.#at;
      this.#toEndOfLine();
      const found = this.#text.slice(from, this.#at);
      this.#at += 1;
      if ((tabs ? found.replace(/^\t+/, '') : found) === end) return;
    }
    throw new ShellSyntaxError('a here-document has no end', line);
  }

  #toEndOfLine(): void {
    const end = this.#text.indexOf('\n', this.#at);
    this.#at = end === -1 ? this.#text.length : end;
  }

  /** Line of an offset, counted on from the last one asked for. */
  #lineAt(offset: number): number {
    for (let at = this.#lineFrom; at < offset; at += 1) if (this.#text[at] === '\n') this.#line += 1;
    this.#lineFrom = Math.max(this.#lineFrom, offset);
    return this.#line;
  }

  #fail(cause: string, offset: number): never {
    throw new ShellSyntaxError(cause, this.#lineAt(Math.min(offset, this.#text.length)));
  }
}

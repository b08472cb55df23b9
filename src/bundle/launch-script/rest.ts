import type { Span } from './variables.ts';
import type { Token } from './words.ts';

/** Stands for a value in the rest of a script; no script can hold this character. */
export const valueMark = '\0';

/** A line with the number it begins at. */
export interface RestLine {
  line: number;
  text: string;
}

/**
 * The script without its comments, each value replaced by {@link valueMark}: what a value is does not count, where it
 * stands does. Two scripts with the same rest are the same to bash but for their values, so nothing else is evened out
 * than what bash evens out: blanks (space and tab) between words, continued lines, and empty lines between commands.
 * @param values places of the values; of two that overlap the second's beginning is left out
 */
export function restOf(text: string, tokens: readonly Token[], values: readonly Span[]): RestLine[] {
  const rest = new RestLines(
    text,
    [...values].sort((a, b) => a[0] - b[0]),
  );
  for (const token of tokens) {
    // The inside of a list's value.
    if (token.end <= rest.at) continue;
    rest.gap(token.start);
    const shebang = token.start === 0 && text.startsWith('#!');
    if (token.kind === 'comment' && !shebang) rest.skip(token.end);
    else if (token.kind === 'operator' && token.text === '\n') rest.endCommand(token.end);
    else rest.word(token.end);
  }
  rest.gap(text.length);
  rest.endCommand(text.length);
  return rest.lines;
}

class RestLines {
  readonly lines: RestLine[] = [];
  readonly #text: string;
  readonly #values: readonly Span[];
  #nextValue = 0;
  #at = 0;
  /** Line of the script at `#at`, and at the beginning of `#current`. */
  #line = 1;
  #begun = 1;
  #current = '';
  #blank = false;

  constructor(text: string, values: readonly Span[]) {
    this.#text = text;
    this.#values = values;
  }

  /** How far the text is read. */
  get at(): number {
    return this.#at;
  }

  /** What lies between two tokens: blanks, continuations, or the body of a here-document, where all counts. */
  gap(end: number): void {
    const gap = this.#take(end);
    const blanks = gap.replaceAll('\\\n', '');
    if (/^[ \t]*$/.test(blanks)) {
      this.#blank ||= blanks !== '';
      this.#line += (gap.length - blanks.length) / 2;
    } else {
      this.#verbatim(gap);
    }
  }

  /** A token as it is written, but for the values in it. */
  word(end: number): void {
    this.#separate();
    while (this.#at < end) {
      const value = this.#values[this.#nextValue];
      if (value === undefined || value[0] >= end) {
        this.#verbatim(this.#take(end));
      } else {
        const [start, valueEnd] = value;
        this.#verbatim(this.#take(Math.max(start, this.#at)));
        this.#nextValue += 1;
        if (valueEnd <= this.#at) continue;
        this.#current += valueMark;
        this.skip(valueEnd);
      }
    }
  }

  skip(end: number): void {
    for (const character of this.#take(end)) if (character === '\n') this.#line += 1;
  }

  endCommand(end: number): void {
    this.skip(end);
    if (this.#current !== '') this.#flush();
    this.#begun = this.#line;
    this.#blank = false;
  }

  /** Up to `end`, or nothing where a value went past that. */
  #take(end: number): string {
    const taken = this.#text.slice(this.#at, end);
    this.#at = Math.max(this.#at, end);
    return taken;
  }

  #separate(): void {
    if (this.#current === '') this.#begun = this.#line;
    else if (this.#blank) this.#current += ' ';
    this.#blank = false;
  }

  #verbatim(piece: string): void {
    for (const [index, part] of piece.split('\n').entries()) {
      if (index > 0) {
        this.#line += 1;
        this.#flush();
      }
      this.#current += part;
    }
  }

  #flush(): void {
    this.lines.push({ line: this.#begun, text: this.#current });
    this.#current = '';
    this.#begun = this.#line;
  }
}

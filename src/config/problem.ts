/** One thing wrong with a configuration file, at the place where the reader must look. */
export interface Problem {
  /** The file's name as the user gave it. */
  file: string;
  /** Line, counted from 1. */
  line: number;
  /** Column in UTF-16 units, counted from 1. */
  column: number;
  /** What is wrong, with the value found and what is allowed. One line, safe to print on a terminal. */
  message: string;
}

/** The form that editors and terminals turn into a link: `file:line:column: message`. */
export function formatProblem({ file, line, column, message }: Problem): string {
  return `${escapeUnprintable(file)}:${line}:${column}: ${message}`;
}

/** Problems in reading order. */
export function inReadingOrder(problems: readonly Problem[]): Problem[] {
  return [...problems].sort((a, b) => a.line - b.line || a.column - b.column);
}

/**
 * Characters that may not stand in a value: control characters, line separators, unpaired surrogates, and
 * the marks that make text read in another order than it is stored. A value ends up in shell scripts,
 * units and firewall rules of the guest, where a second line would be a second statement.
 */
const unprintable = /[\p{Cc}\p{Cs}\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]/u;

/** The first character of a text that may not stand in a value, as `U+XXXX`; undefined where all may. */
export function findUnprintable(text: string): string | undefined {
  const found = unprintable.exec(text)?.[0];
  return found === undefined ? undefined : codePoint(found);
}

const codePoint = (character: string) =>
  `U+${character.codePointAt(0)!.toString(16).toUpperCase().padStart(4, '0')}`;

function escapeUnprintable(text: string): string {
  return text.replace(new RegExp(unprintable.source, 'gu'), (character) => `<${codePoint(character)}>`);
}

const shownLength = 80;

/** A value as it may be printed in a message: on one line, nothing a terminal would act on, not too long. */
export function show(value: unknown): string {
  const text = escapeUnprintable(JSON.stringify(value) ?? String(value));
  return text.length <= shownLength ? text : `${text.slice(0, shownLength)}…`;
}

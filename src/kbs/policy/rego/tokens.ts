/** One token of Rego. Offsets count UTF-16 units. */
export interface Token {
  kind: 'name' | 'string' | 'number' | 'mark';
  /** As it is written. */
  text: string;
  /** Of a string: what it means; of every other token: its text. */
  value: string;
  start: number;
  end: number;
  /** A line ends between the token before and this one. */
  newline: boolean;
}

/** A comment, from its `#` to the end of its line. */
export interface Comment {
  text: string;
  start: number;
  end: number;
}

/** A place where the text is not Rego. */
export interface Fault {
  at: number;
  message: string;
}

export interface Scan {
  tokens: Token[];
  comments: Comment[];
  faults: Fault[];
}

const blank = /[ \t\r\n]+/y;
const comment = /#[^\n]*/y;
const name = /[A-Za-z_][A-Za-z0-9_]*/y;
const number = /(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?/y;
const quoted = /"(?:[^"\\\n]|\\[^\n])*"/y;
const raw = /`[^`]*`/y;
const mark = /:=|==|!=|<=|>=|[=<>+\-*/%&|.,;:()[\]{}]/y;

/** Takes a policy text apart. Always succeeds: what is not Rego becomes a fault, and reading goes on behind it. */
export function scanRego(text: string): Scan {
  const scan: Scan = { tokens: [], comments: [], faults: [] };
  let at = text.startsWith('\ufeff') ? 1 : 0;
  if (at === 1) scan.faults.push({ at: 0, message: 'the text begins with a byte order mark' });
  let newline = false;
  const match = (pattern: RegExp): string | undefined => {
    pattern.lastIndex = at;
    return pattern.exec(text)?.[0];
  };
  const take = (kind: Token['kind'], found: string, value = found) => {
    scan.tokens.push({ kind, text: found, value, start: at, end: at + found.length, newline });
    newline = false;
    at += found.length;
  };
  while (at < text.length) {
    const space = match(blank);
    if (space !== undefined) {
      newline ||= space.includes('\n');
      at += space.length;
      continue;
    }
    const note = match(comment);
    if (note !== undefined) {
      scan.comments.push({ text: note.replace(/\r$/, ''), start: at, end: at + note.length });
      at += note.length;
      continue;
    }
    const word = match(name);
    const digits = match(number);
    const long = match(raw);
    const short = match(quoted);
    const sign = match(mark);
    if (word !== undefined) take('name', word);
    else if (digits !== undefined) take('number', digits);
    else if (long !== undefined) take('string', long, long.slice(1, -1));
    else if (short !== undefined) takeString(short, take, scan.faults, at);
    else if (sign !== undefined) take('mark', sign);
    else {
      const character = String.fromCodePoint(text.codePointAt(at)!);
      const open = character === '"' || character === '`';
      scan.faults.push({ at, message: open ? 'a string is not closed' : `Rego has no ${character}` });
      at = open ? text.length : at + character.length;
    }
  }
  return scan;
}

/** A `"…"` string means what it means in JSON; an escape that JSON lacks is a fault. */
function takeString(
  found: string,
  take: (kind: 'string', found: string, value: string) => void,
  faults: Fault[],
  at: number,
): void {
  let value = found;
  try {
    value = JSON.parse(found) as string;
  } catch {
    faults.push({ at, message: 'a string holds an escape that Rego lacks, or a control character' });
  }
  take('string', found, value);
}

const opening: Record<string, string> = { '(': ')', '[': ']', '{': '}' };

/**
 * The partner of every bracket, by index; the first bracket without one is a fault.
 */
export function matchBrackets(tokens: readonly Token[]): { partner: number[]; fault?: Fault } {
  const partner: number[] = [];
  const open: number[] = [];
  for (const [index, token] of tokens.entries()) {
    if (token.kind !== 'mark') continue;
    if (token.text in opening) open.push(index);
    else if (token.text === ')' || token.text === ']' || token.text === '}') {
      const first = open.pop();
      if (first === undefined || opening[tokens[first]!.text] !== token.text) {
        const message = `"${token.text}" closes nothing that was opened${first === undefined ? '' : ` by it: "${tokens[first]!.text}" is open`}`;
        return { partner, fault: { at: token.start, message } };
      }
      partner[first] = index;
      partner[index] = first;
    }
  }
  const last = open.at(-1);
  if (last === undefined) return { partner };
  return { partner, fault: { at: tokens[last]!.start, message: `"${tokens[last]!.text}" is never closed` } };
}

import { MalformedError } from '../../../host/tar/bytes.ts';

/** A value of LVM2's text format. Sections are maps; nothing of a disk becomes a property of an object. */
export type LvmValue = string | number | LvmValue[] | LvmSection;
export type LvmSection = Map<string, LvmValue>;

const token = /\s*(?:#[^\n]*\n\s*)*([A-Za-z0-9_.+-]+|"(?:[^"\\]|\\.)*"|[{}[\]=,])/y;
const deepest = 16;

/**
 * Parses the text in which LVM2 keeps a volume group: `name { key = value }`, strings in double quotes, numbers, lists in
 * brackets, comments from `#` (lvm2, lib/config/config.c).
 * @throws MalformedError
 */
export function parseLvmText(text: string): LvmSection {
  let at = 0;
  const next = (): string | undefined => {
    token.lastIndex = at;
    const match = token.exec(text);
    if (match === null) {
      if (/^(?:\s|#[^\n]*(?:\n|$))*$/.test(text.slice(at))) return undefined;
      throw bad();
    }
    at = token.lastIndex;
    return match[1]!;
  };
  const bad = () => new MalformedError('the text of its volume group is damaged');
  const scalar = (word: string | undefined): string | number => {
    if (word === undefined) throw bad();
    if (word.startsWith('"')) return word.slice(1, -1).replaceAll(/\\(.)/gs, '$1');
    const number = Number(word);
    if (!Number.isFinite(number)) throw bad();
    return number;
  };
  const value = (): LvmValue => {
    const word = next();
    if (word !== '[') return scalar(word);
    const list: LvmValue[] = [];
    for (let item = next(); item !== ']'; item = next()) if (item !== ',') list.push(scalar(item));
    return list;
  };
  const section = (depth: number): LvmSection => {
    if (depth > deepest) throw bad();
    const found: LvmSection = new Map();
    for (let name = next(); name !== undefined && name !== '}'; name = next()) {
      const sign = next();
      if (sign === '{') found.set(name, section(depth + 1));
      else if (sign === '=') found.set(name, value());
      else throw bad();
    }
    return found;
  };
  return section(0);
}

/** A section of a section. @throws MalformedError where it is absent */
export function sectionOf(parent: LvmSection, name: string): LvmSection {
  const found = parent.get(name);
  if (!(found instanceof Map)) throw new MalformedError(`the text of its volume group has no ${name}`);
  return found;
}

/** A whole number of a section, 0 or more. @throws MalformedError where it is absent */
export function numberOf(parent: LvmSection, name: string): number {
  const found = parent.get(name);
  if (typeof found !== 'number' || !Number.isSafeInteger(found) || found < 0)
    throw new MalformedError(`the text of its volume group has no ${name}`);
  return found;
}

/** A string of a section. @throws MalformedError where it is absent */
export function stringOf(parent: LvmSection, name: string): string {
  const found = parent.get(name);
  if (typeof found !== 'string') throw new MalformedError(`the text of its volume group has no ${name}`);
  return found;
}

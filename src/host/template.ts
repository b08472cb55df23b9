import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';

/** Turns a value into the target language's text for it. */
export type Quote = (value: string) => string;

/** A named value of a template; a list becomes its quoted items with blanks between. */
export type TemplateValue = string | number | readonly (string | number)[];

const placeholder = /@([A-Z][A-Z0-9_]*)@/g;

/** A single-quoted word of the POSIX shell, whatever the value holds. Throws on NUL, which no shell word can hold. */
export function shellQuote(value: string): string {
  if (value.includes('\0')) throw new Error('a shell word cannot hold a NUL byte');
  return `'${value.replaceAll("'", `'\\''`)}'`;
}

/** A file of shell variables: one `name='value'` a line. */
export function shellVariables(values: Readonly<Record<string, string | number>>): string {
  return Object.entries(values)
    .map(([name, value]) => `${name}=${shellQuote(String(value))}\n`)
    .join('');
}

/** For documents that people read: the value as it is, without control characters that could drive a terminal. */
export function plainText(value: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is taken out
  return value.replaceAll(/[\u0000-\u0009\u000b-\u001f\u007f-\u009f]/g, '?');
}

/**
 * Replaces every `@NAME@` of a template by its quoted value, in one pass: a value that looks like a placeholder
 * stays as it is.
 * @throws Error where the template names a value that is not given, or a given value is not in the template.
 */
export function fillTemplate(
  text: string,
  values: Readonly<Record<string, TemplateValue>>,
  quote: Quote,
): string {
  const named = new Set([...text.matchAll(placeholder)].map((match) => match[1]!));
  const missing = [...named].filter((name) => !Object.hasOwn(values, name));
  const unknown = Object.keys(values).filter((name) => !named.has(name));
  if (missing.length > 0) throw new Error(`cannot fill the template: no value for ${missing.join(', ')}`);
  if (unknown.length > 0) throw new Error(`cannot fill the template: it does not name ${unknown.join(', ')}`);
  return text.replaceAll(placeholder, (_, name: string) => {
    const value = values[name]!;
    const items: readonly (string | number)[] = Array.isArray(value) ? value : [value as string | number];
    return items.map((item) => quote(String(item))).join(' ');
  });
}

/** Absolute path of a file in `templates/`. */
export function templatePath(name: string): string {
  return fileURLToPath(new URL(`../../templates/${name}`, import.meta.url));
}

/** Text of a file in `templates/`. */
export async function readTemplate(name: string): Promise<string> {
  return await readFile(templatePath(name), 'utf8');
}

/** Entries of a list in `templates/`: a line each, comments and empty lines left out. */
export async function readTemplateList(name: string): Promise<string[]> {
  return (await readTemplate(name))
    .split('\n')
    .map((line) => line.replace(/#.*/, '').trim())
    .filter((line) => line !== '');
}

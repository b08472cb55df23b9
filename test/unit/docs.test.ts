import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { builderSchema } from '../../src/config/builder-schema.ts';
import { ccConfigSchema } from '../../src/config/cc-config-schema.ts';
import { unwrapped } from '../../src/config/guidance.ts';

const root = join(import.meta.dirname, '../..');
const read = (file: string) => readFileSync(join(root, file), 'utf8');

/** Files below a folder of the repository, what git ignores left out. */
function filesIn(folder: string): string[] {
  const ignored = new Set(['.git', 'node_modules', 'target', 'handoff', 'test-results', '.work', 'made']);
  return readdirSync(join(root, folder), { withFileTypes: true })
    .filter(({ name }) => !ignored.has(name))
    .flatMap((entry) => {
      const path = join(folder, entry.name);
      return entry.isDirectory() ? filesIn(path) : [path];
    });
}

const unique = (values: Iterable<string>) => [...new Set(values)].sort();
const allMatches = (text: string, pattern: RegExp) => [...text.matchAll(pattern)].map((match) => match[1]!);

describe('failure codes', () => {
  const guest = filesIn('templates').map(read).join('\n');
  const raised = unique(allMatches(guest, /\b(E\d\d)\b/g));
  const explained = allMatches(read('docs/troubleshooting.md'), /^### (E\d\d): /gm);

  it('are found in the templates', () => expect(raised.length).toBeGreaterThan(20));

  it('are each explained once, in order, and no other is', () => expect(explained).toEqual(raised));
});

describe('commands', () => {
  const main = filesIn('src/cli').map(read).join('\n');
  const known = allMatches(main, /(?:\.command|\badd)\('([a-z-]+)'/g);
  const options = new Set(allMatches(main, /'(--[a-z-]+)/g));

  /** Code of a document: spans, and the lines of blocks. */
  const codeOf = (text: string) => [
    ...allMatches(text.replaceAll(/^```[\s\S]*?^```/gm, ''), /`([^`\n]+)`/g),
    ...text.split('\n').filter((line) => line.startsWith('    ')),
  ];
  const documents = filesIn('.').filter((file) => file.endsWith('.md'));
  const lines = documents.flatMap((file) => codeOf(read(file)));
  const calls = lines.map((line) => line.trim()).filter((line) => /^(?:bin\/)?cvm [a-z]/.test(line));

  it('of every document exist', () => {
    const words = calls.map((line) => /cvm ([a-z-]+)/.exec(line)![1]!);
    expect(words.length).toBeGreaterThan(5);
    expect(unique(words).filter((word) => !known.includes(word))).toEqual([]);
  });

  it('are all in the README', () => {
    const text = read('README.md');
    expect(
      known.filter((word) => !new RegExp(`\`cvm (?:base |drive |kbs |policy )?${word}\\b`).test(text)),
    ).toEqual([]);
  });

  it('are given only options that they have', () => {
    const own = [...calls, ...lines.filter((line) => /cvm_build\.sh /.test(line))];
    const given = own.flatMap((line) => allMatches(line.replace(/#.*/, ''), /(--[a-z-]+)/g));
    expect(unique(given).filter((option) => !options.has(option) && option !== '--setup')).toEqual([]);
  });
});

describe('links', () => {
  /** GitHub's name of a heading. */
  const anchor = (heading: string) =>
    heading
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{N} _-]/gu, '')
      .replaceAll(' ', '-');
  const anchorsOf = (file: string) => allMatches(readFileSync(file, 'utf8'), /^#+ (.+)$/gm).map(anchor);

  it.each(filesIn('.').filter((file) => file.endsWith('.md')))('of %s lead to something', (file) => {
    const targets = allMatches(read(file), /\]\(([^)\s]+)\)/g).filter((target) => !/^[a-z]+:/.test(target));
    const broken = targets.filter((target) => {
      const [path = '', heading] = target.split('#');
      const found = path === '' ? join(root, file) : resolve(root, dirname(file), path);
      // A path out of the repository is broken wherever it leads.
      if (relative(root, found).startsWith('..') || !existsSync(found)) return true;
      return heading !== undefined && !anchorsOf(found).includes(heading);
    });
    expect(broken).toEqual([]);
  });
});

describe('settings', () => {
  /** Leaf settings by dotted name; `[]` stands for the entries of a list of maps. */
  const settingsOf = (schema: z.ZodObject, prefix = ''): [string, z.core.$ZodType][] =>
    Object.entries(schema.shape).flatMap(([key, value]): [string, z.core.$ZodType][] => {
      const name = `${prefix}${key}`;
      const inner = unwrapped(value);
      if (inner instanceof z.ZodObject) return settingsOf(inner, `${name}.`);
      const element = inner instanceof z.ZodArray ? inner.element : undefined;
      const below = element instanceof z.ZodObject ? settingsOf(element, `${name}[].`) : [];
      return [[name, value], ...below];
    });

  const show = (value: unknown): string =>
    Array.isArray(value)
      ? `[${value.join(', ')}]`
      : typeof value === 'object'
        ? JSON.stringify(value)
        : String(value);
  const defaultOf = (schema: z.core.$ZodType) => {
    if (schema instanceof z.ZodDefault) return `\`${show(schema.def.defaultValue)}\``;
    return schema instanceof z.ZodOptional ? 'none' : 'required';
  };

  const [, ccConfig = '', builder = ''] = read('docs/configuration.md').split(
    /^## (?=cc_config|builder\.yml)/m,
  );
  const rowsOf = (text: string) =>
    [...text.matchAll(/^\| `([^`]+)` \|[^|]*\| ([^|]*) \|[^|]*\|$/gm)].map(
      ([, key, value]) => `${key} = ${value!.trim()}`,
    );

  it.each([
    ['cc_config', ccConfig, ccConfigSchema],
    ['builder.yml', builder, builderSchema],
  ] as const)('of %s are all in docs/configuration.md with their defaults, and no others', (_, text, schema) => {
    const expected = settingsOf(schema).map(([name, value]) => `${name} = ${defaultOf(value)}`);
    expect(unique(rowsOf(text))).toEqual(unique(expected));
  });
});

describe('the threat model', () => {
  const text = read('docs/threat-model.md');

  it('has a row for each threat, in order', () => {
    const rows = allMatches(text, /^\| (T\d+) \|/gm);
    expect(rows).toEqual(Array.from({ length: 47 }, (_, index) => `T${index + 1}`));
  });

  it('names tests that exist', () => {
    const named = [...text.matchAll(/\]\(\.\.\/(test\/[^)]+\.ts)\): “([^”]+)”/g)];
    expect(named.length).toBeGreaterThan(20);
    const absent = named.filter(([, file, title]) => !read(file!).includes(title!));
    expect(absent.map(([, file, title]) => `${file}: ${title}`)).toEqual([]);
  });
});

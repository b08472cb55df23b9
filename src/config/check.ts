import { z } from 'zod';
import { guidance, schemaAt, schemaBelow, unwrapped } from './guidance.ts';
import { nearest } from './nearest.ts';
import { findUnprintable, inReadingOrder, type Problem, show } from './problem.ts';
import { isMap } from './shapes.ts';
import { type Path, parseYaml, type YamlDocument } from './yaml-document.ts';

/** What a cross-field rule says, and about which value. */
export interface Finding {
  path: Path;
  message: string;
  /** An error unless told otherwise. */
  severity?: 'error' | 'warning';
  /** Point at the key rather than at the value. */
  atKey?: boolean;
}

/**
 * A rule that compares several settings. It is given the file's values as they were written, checked or
 * not, so that it can speak even where another setting is wrong; it looks at types itself and stays
 * silent about what the schema already refuses.
 */
export type Rule = (raw: Readonly<Record<string, unknown>>) => Finding[];

/** The outcome for one file. `values` is there exactly when there are no errors. */
export interface Checked<Values> {
  values?: Values;
  errors: Problem[];
  warnings: Problem[];
}

/** Parses one YAML file and holds it against its schema and rules. Reports everything at once. */
export function check<Schema extends z.ZodObject>(
  text: string,
  file: string,
  schema: Schema,
  rules: readonly Rule[],
): Checked<z.output<Schema>> {
  const { document, errors } = parseYaml(text, file);
  if (document === undefined) return { errors, warnings: [] };

  const raw = withoutEmpty(schema, document.value) as Record<string, unknown>;
  const result = schema.safeParse(raw);
  const findings = rules.flatMap((rule) => rule(raw));
  const unprintable = unprintableTexts(schema, raw, document);
  const refused = result.success ? [] : refusedValues(schema, raw, result.error.issues, document);
  const at = ({ path, message, atKey }: Finding) =>
    atKey ? document.problemAtKey(path, message) : document.problemAt(path, message);
  errors.push(
    ...unprintable,
    ...refused.filter((one) => !unprintable.some((other) => samePlace(one, other))),
    ...findings.filter(({ severity }) => severity !== 'warning').map(at),
  );
  const warnings = [
    ...unknownKeys(schema, raw, document),
    ...findings.filter(({ severity }) => severity === 'warning').map(at),
  ];
  return {
    ...(result.success && errors.length === 0 ? { values: result.data } : {}),
    errors: inReadingOrder(errors),
    warnings: inReadingOrder(warnings),
  };
}

const samePlace = (a: Problem, b: Problem) => a.line === b.line && a.column === b.column;

/** `cc_issuers[0].token_expiration` */
function nameOf(path: Path): string {
  return path.reduce<string>((name, step) => {
    if (typeof step === 'number') return `${name}[${step}]`;
    const key = /^[\w.@/-]+$/.test(String(step)) ? String(step) : show(String(step));
    return name === '' ? key : `${name}.${key}`;
  }, '');
}

/** A setting whose value is left empty (`hosts_entries:` and nothing below) counts as not given. */
function withoutEmpty(schema: z.core.$ZodType, value: unknown): unknown {
  const inner = unwrapped(schema);
  if (inner instanceof z.ZodObject && isMap(value)) {
    const given = Object.entries(value).filter(([key, each]) => each !== null || !(key in inner.shape));
    return Object.fromEntries(
      given.map(([key, each]) => [key, key in inner.shape ? withoutEmpty(inner.shape[key]!, each) : each]),
    );
  }
  if (inner instanceof z.ZodArray && Array.isArray(value)) {
    return value.map((each) => withoutEmpty(inner.element, each));
  }
  return value;
}

/** One sentence for each value that the schema refuses. */
function refusedValues(
  schema: z.ZodObject,
  raw: unknown,
  issues: readonly z.core.$ZodIssue[],
  document: YamlDocument,
): Problem[] {
  const byPath = new Map(issues.map((issue) => [JSON.stringify(issue.path), issue]));
  return [...byPath.values()].map(({ path, code }) => {
    if (code === 'invalid_key') {
      const map = schemaAt(schema, path.slice(0, -1));
      const allowed = map instanceof z.ZodRecord ? guidance.get(map.keyType)?.allowed : undefined;
      const where = nameOf(path.slice(0, -1));
      const message = `the name ${show(path.at(-1))} in ${where} is not allowed: it must be ${allowed}`;
      return document.problemAtKey(path, message);
    }
    return document.problemAt(path, refusal(schemaAt(schema, path), nameOf(path), valueAt(raw, path)));
  });
}

function refusal(schema: z.core.$ZodType | undefined, name: string, value: unknown): string {
  const { allowed = 'left out', refused = {} } = (schema && guidance.get(schema)) ?? {};
  if (value === undefined) return `${name} is missing: it must be ${allowed}`;
  // A password is not said again: messages go to logs and screens.
  const holdsPassword = typeof value === 'string' && /:\/\/[^/]*@/.test(value);
  const found = holdsPassword ? `${name} holds a user name or password` : `${name} is ${show(value)}`;
  if (typeof value !== 'string') return `${found}: it must be ${allowed}`;
  if (Object.hasOwn(refused, value)) return `${found}: ${refused[value]}`;
  if (schema !== undefined && /^\d+$/.test(value) && z.safeParse(schema, Number(value)).success) {
    return `${found}: write the number without quotes`;
  }
  const meant = schema instanceof z.ZodEnum ? nearest(value, schema.options.map(String)) : undefined;
  return `${found}: it must be ${allowed}${meant === undefined ? '' : `; did you mean ${show(meant)}?`}`;
}

function valueAt(raw: unknown, path: Path): unknown {
  return path.reduce<unknown>(
    (value, step) =>
      typeof value === 'object' && value !== null && Object.hasOwn(value, step)
        ? (value as Record<PropertyKey, unknown>)[step]
        : undefined,
    raw,
  );
}

/** Texts and names under known keys that hold characters which may not stand in a value. */
function unprintableTexts(
  schema: z.core.$ZodType | undefined,
  value: unknown,
  document: YamlDocument,
  path: Path = [],
): Problem[] {
  if (typeof value === 'string') {
    const character = findUnprintable(value);
    const message = `${nameOf(path)} is ${show(value)}: it must be one line without control characters, and holds ${character}`;
    return character === undefined ? [] : [document.problemAt(path, message)];
  }
  if (typeof value !== 'object' || value === null) return [];
  return Object.entries(value).flatMap(([key, each]) => {
    const below = [...path, Array.isArray(value) ? Number(key) : key];
    const inner = schema && unwrapped(schema);
    if (inner instanceof z.ZodObject && !(key in inner.shape)) return [];
    const bad = findUnprintable(key);
    const message = `the name ${show(key)} must be one line without control characters, and holds ${bad}`;
    return [
      ...(bad === undefined ? [] : [document.problemAtKey(below, message)]),
      ...unprintableTexts(schema && schemaBelow(schema, key), each, document, below),
    ];
  });
}

/** Warnings for keys nobody here knows; the file may hold keys for other programs. */
function unknownKeys(
  schema: z.core.$ZodType | undefined,
  value: unknown,
  document: YamlDocument,
  path: Path = [],
): Problem[] {
  const inner = schema && unwrapped(schema);
  if (inner === undefined || typeof value !== 'object' || value === null) return [];
  const free =
    inner instanceof z.ZodObject
      ? Object.keys(inner.shape).filter((name) => !Object.hasOwn(value, name))
      : [];
  return Object.entries(value).flatMap(([key, each]) => {
    const below = [...path, Array.isArray(value) ? Number(key) : key];
    if (!(inner instanceof z.ZodObject) || Object.hasOwn(inner.shape, key)) {
      return unknownKeys(schemaBelow(inner, key), each, document, below);
    }
    const meant = nearest(key, free);
    const guess = meant === undefined ? '' : `; did you mean ${show(meant)}?`;
    return [document.problemAtKey(below, `the key ${show(key)} is not known here and is ignored${guess}`)];
  });
}

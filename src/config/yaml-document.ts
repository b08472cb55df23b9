import {
  type Document,
  isAlias,
  isMap,
  isNode,
  isPair,
  isScalar,
  isSeq,
  LineCounter,
  type Pair,
  parseDocument,
  visit,
  type YAMLError,
  type YAMLMap,
} from 'yaml';
import { findUnprintable, formatProblem, type Problem, show } from './problem.ts';

/** Keys and list indexes that lead from the top of a document to a value. */
export type Path = readonly PropertyKey[];

/** A parsed YAML map that still knows where everything stood. */
export interface YamlDocument {
  value: Record<string, unknown>;
  /** A problem at the value under `path`, or at the nearest thing above it that the file holds. */
  problemAt(path: Path, message: string): Problem;
  /** The same at the key itself. */
  problemAtKey(path: Path, message: string): Problem;
}

const largestFile = 1024 * 1024;
const tooMuch = 'the file is nested too deeply, or its aliases repeat too much';
/** YAML parsers cascade; past these the reader learns nothing new. */
const mostSyntaxErrors = 10;
/** FLARE's re-dump writes a list used twice as an alias, so aliases must work; bombs need many more. */
const mostAliases = 100;

/**
 * Parses a configuration file whose top level is a map. Syntax that would mean different things to
 * different readers (duplicate keys, several documents, tags, keys that are not text) is refused.
 */
export function parseYaml(text: string, file: string): { document?: YamlDocument; errors: Problem[] } {
  const lines = new LineCounter();
  const problem = (offset: number, message: string): Problem => {
    const { line, col } = lines.linePos(offset);
    return { file, line: Math.max(line, 1), column: Math.max(col, 1), message };
  };
  const source = text.startsWith('\ufeff') ? text.slice(1) : text;

  const refused = refusedText(source, lines);
  if (refused !== undefined) return { errors: [problem(refused.offset, refused.message)] };
  try {
    // The parser compares each key of a map with all before it; that is done below, in one pass.
    const tree = parseDocument(source, { lineCounter: lines, prettyErrors: false, uniqueKeys: false });
    const syntax = [...tree.errors, ...tree.warnings];
    if (syntax.length > 0) {
      const byText = new Map(
        syntax
          .map((error) => problem(error.pos[0], syntaxMessage(error)))
          .map((found) => [formatProblem(found), found]),
      );
      return { errors: [...byText.values()].slice(0, mostSyntaxErrors) };
    }
    if (tree.contents === null || (isScalar(tree.contents) && tree.contents.value === null)) {
      return { errors: [problem(0, 'the file is empty: it must be a map of settings')] };
    }
    if (!isMap(tree.contents)) {
      return {
        errors: [problem(offsetOf(tree.contents), 'the file must be a map of settings, "name: value"')],
      };
    }
    const nodeErrors = refusedNodes(tree).map(({ offset, message }) => problem(offset, message));
    if (nodeErrors.length > 0) return { errors: nodeErrors.slice(0, mostSyntaxErrors) };
    const value = tree.toJS({ maxAliasCount: mostAliases }) as Record<string, unknown>;
    const pairs: PairIndex = new WeakMap();
    const unreasonable = whyUnreasonable(value);
    if (unreasonable !== undefined) return { errors: [problem(0, unreasonable)] };
    return {
      document: {
        value,
        problemAt: (path, message) => problem(locate(tree, pairs, path, 'value'), message),
        problemAtKey: (path, message) => problem(locate(tree, pairs, path, 'key'), message),
      },
      errors: [],
    };
  } catch (error) {
    // The parser recurses (RangeError), and expanding aliases past the limit throws a ReferenceError.
    if (error instanceof RangeError || error instanceof ReferenceError)
      return { errors: [problem(0, tooMuch)] };
    throw error;
  }
}

/** Text that no YAML file may hold. The lines up to the place are counted here, for the parser never runs. */
function refusedText(source: string, lines: LineCounter): { offset: number; message: string } | undefined {
  if (source.length > largestFile) return { offset: 0, message: 'the file is larger than 1 MiB' };
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
  const bad = /[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ufffd]/.exec(source);
  if (bad === null) return undefined;
  lines.addNewLine(0);
  for (let at = source.indexOf('\n'); at !== -1 && at < bad.index; at = source.indexOf('\n', at + 1)) {
    lines.addNewLine(at + 1);
  }
  const what =
    bad[0] === '\ufffd' ? 'bytes that are not UTF-8' : `the control character ${findUnprintable(bad[0])}`;
  return { offset: bad.index, message: `the file holds ${what}: it must be plain UTF-8 text` };
}

function syntaxMessage(error: YAMLError): string {
  switch (error.code) {
    case 'TAB_AS_INDENT':
      return 'a tab cannot indent YAML: use blanks';
    case 'MULTIPLE_DOCS':
      return 'the file holds a second YAML document ("---"): keep one';
    case 'TAG_RESOLVE_FAILED':
      return `${error.message.replace(/\s+/g, ' ')}: tags ("!…") are not allowed`;
    default:
      if (error.message.includes('call stack')) return tooMuch;
      return `not valid YAML: ${error.message.replace(/\s+/g, ' ').replace(/[.:]$/, '')}`;
  }
}

/**
 * Keys that a map of names cannot hold or that it holds twice, and aliases of nothing. `__proto__` is refused because JavaScript gives it a meaning, so it
 * would be lost silently on the way; `<<` because readers disagree on whether it merges.
 */
function refusedNodes(tree: Document): { offset: number; message: string }[] {
  const found: { offset: number; message: string }[] = [];
  visit(tree, {
    Alias(_, alias) {
      if (alias.resolve(tree) === undefined) {
        found.push({
          offset: offsetOf(alias),
          message: `the alias ${show(`*${alias.source}`)} names nothing above it`,
        });
      }
    },
    Map(_, { items }) {
      const seen = new Set<unknown>();
      for (const { key } of items) {
        const name = isScalar(key) ? key.value : key;
        if (seen.has(name)) {
          const message = `the key ${show(String(name))} is given twice: keep one`;
          found.push({ offset: offsetOf(key), message });
        }
        seen.add(name);
      }
    },
    Pair(_, { key }) {
      const name = isScalar(key) ? key.value : undefined;
      if (name === undefined || name === null || name === '') {
        found.push({ offset: offsetOf(key), message: 'a key must be plain text' });
      } else if (name === '__proto__' || name === '<<') {
        found.push({ offset: offsetOf(key), message: `the key ${show(name)} is not allowed` });
      }
    },
  });
  return found;
}

/** No setting lies deeper than six levels; the rest is room for arguments that only FLARE reads. */
const deepest = 32;
const mostValues = 50_000;

/** What is wrong with values nested past {@link deepest}, as an alias of its own parent is, or too many to walk. */
function whyUnreasonable(top: unknown): string | undefined {
  let level: unknown[] = [top];
  let seen = 0;
  for (let depth = 0; level.length > 0; depth++) {
    seen += level.length;
    if (depth > deepest) return tooMuch;
    // With aliases it may be the repetition, in a plain file it is the number.
    if (seen > mostValues) return depth > 1 ? tooMuch : `the file holds more than ${mostValues} settings`;
    level = level.flatMap((value) =>
      typeof value === 'object' && value !== null ? Object.values(value) : [],
    );
  }
  return undefined;
}

const offsetOf = (node: unknown): number => (isNode(node) ? (node.range?.[0] ?? 0) : 0);

/** The pairs of each map by the text of their key, made when the map is first looked into. */
type PairIndex = WeakMap<YAMLMap, ReadonlyMap<string, Pair>>;

function pairOf(index: PairIndex, map: YAMLMap, name: string): Pair | undefined {
  const known = index.get(map);
  if (known !== undefined) return known.get(name);
  const pairs = new Map(
    map.items.flatMap((pair) => (isScalar(pair.key) ? [[String(pair.key.value), pair] as const] : [])),
  );
  index.set(map, pairs);
  return pairs.get(name);
}

/** Offset of the key or value that a path names. Inside an alias that is where its anchor stands. */
function locate(tree: Document, index: PairIndex, path: Path, part: 'key' | 'value'): number {
  let node: unknown = tree.contents;
  let offset = offsetOf(node);
  for (const [depth, step] of path.entries()) {
    if (isAlias(node)) node = node.resolve(tree);
    if (isMap(node)) {
      const pair = pairOf(index, node, String(step));
      if (!isPair(pair)) return offset;
      const isEmpty = !isNode(pair.value) || (isScalar(pair.value) && pair.value.source === '');
      const wantsKey = isEmpty || (part === 'key' && depth === path.length - 1);
      offset = offsetOf(wantsKey ? pair.key : pair.value);
      node = pair.value;
    } else if (isSeq(node)) {
      const item = node.items[Number(step)];
      if (!isNode(item)) return offset;
      offset = offsetOf(item);
      node = item;
    } else {
      return offset;
    }
  }
  return offset;
}

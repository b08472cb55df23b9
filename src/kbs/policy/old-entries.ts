import { launchDigestPattern, resourcePathPattern } from '../registry/record.ts';
import { referencesIn } from './rego/references.ts';
import { type Branch, type Expression, type Module, type Rule, readModule } from './rego/statements.ts';
import type { Comment, Token } from './rego/tokens.ts';

/** A rule as older builders appended it: who has one of these launch digests may read. */
export interface OldEntry {
  /** Lower-case hex, each once, in the order of the rule. */
  digests: string[];
  /** Resource path that the rule itself, or a comment in it or right above it, names. */
  path: string | undefined;
  /** What goes when the entry goes: the rule, and a comment that was there to name its path. */
  start: number;
  end: number;
  /** Offset of the rule. */
  at: number;
}

/**
 * Finds the entries of older builders: rules `allow` that ask for a launch digest and for nothing that the managed
 * part does not ask for as well. A rule that asks for anything more is somebody's own and is not among them.
 */
export function findOldEntries(text: string): OldEntry[] {
  const module = readModule(text);
  return module.statements.flatMap((statement, index) => {
    if (statement.kind !== 'rule') return [];
    const entry = readEntry(statement);
    if (entry === undefined) return [];
    const from = module.statements[index - 1]?.end ?? 0;
    return [{ ...entry, ...placed(text, module, statement, from, entry.path) }];
  });
}

type Content = Pick<OldEntry, 'digests' | 'path'>;

function readEntry({ name, shape, isDefault, branches }: Rule): Content | undefined {
  if (name !== 'allow' || shape !== 'complete' || isDefault) return undefined;
  const contents = branches.map(readBranch);
  if (!contents.every((content) => content !== undefined)) return undefined;
  const paths = new Set(contents.map(({ path }) => path));
  if (paths.size > 1) return undefined;
  return { digests: [...new Set(contents.flatMap(({ digests }) => digests))], path: [...paths][0] };
}

function readBranch({ value, body, isElse }: Branch): Content | undefined {
  const isTrue = value.length === 0 || (value.length === 1 && value[0]!.text === 'true');
  if (!isTrue || isElse || body.length === 0) return undefined;
  const names = new Map<string, readonly string[]>();
  let digests: string[] | undefined;
  let path: string | undefined;
  for (const expression of body) {
    const reference = (tokens: readonly Token[]) => referenceAlone(tokens, names);
    const assigned = localName(expression, reference);
    if (assigned !== undefined) {
      names.set(...assigned);
      continue;
    }
    const found = digestsOf(expression, reference);
    const named = pathOf(expression, reference);
    if (found !== undefined && digests === undefined) digests = found;
    else if (named !== undefined && path === undefined) path = named;
    else if (found !== undefined || named !== undefined || !isImplied(expression, reference))
      return undefined;
  }
  return digests === undefined ? undefined : { digests, path };
}

type Resolve = (tokens: readonly Token[]) => readonly string[] | undefined;

/** The path of a reference where the tokens are that and nothing else; local names are followed. */
function referenceAlone(tokens: readonly Token[], names: ReadonlyMap<string, readonly string[]>) {
  const [reference] = referencesIn(tokens);
  if (reference === undefined || reference.first !== 0 || reference.end !== tokens.length) return undefined;
  const [first, ...rest] = reference.path as [string, ...string[]];
  return [...(names.get(first) ?? [first]), ...rest];
}

/** `snp := input.submods…`: a name for a part of the request. */
function localName(expression: Expression, resolve: Resolve): [string, readonly string[]] | undefined {
  const [name, assign, ...rest] = expression;
  if (name?.kind !== 'name' || assign?.text !== ':=') return undefined;
  const path = resolve(rest);
  return path !== undefined && (path[0] === 'input' || path[0] === 'data') ? [name.text, path] : undefined;
}

const isMeasurement = (path: readonly string[] | undefined) =>
  path?.[0] === 'input' && path.at(-2) === 'snp' && path.at(-1) === 'measurement';

/** The digests that a condition asks for, in any of the spellings: `==`, `=`, `in {…}`, `{…}[…]`, `[…][_] ==`. */
function digestsOf(expression: Expression, resolve: Resolve): string[] | undefined {
  const operator = expression.findIndex(
    ({ text, kind }) => text === '==' || text === 'in' || (kind === 'mark' && text === '='),
  );
  if (operator !== -1) {
    const sides = [expression.slice(0, operator), expression.slice(operator + 1)];
    const other = isMeasurement(resolve(sides[0]!)) ? sides[1]! : sides[0]!;
    const claim = other === sides[1] ? sides[0]! : sides[1]!;
    if (!isMeasurement(resolve(claim))) return undefined;
    if (expression[operator]!.text === 'in')
      return other === sides[1] ? digestTexts(literals(other)) : undefined;
    if (other.length === 1) return digestTexts(other);
    const picked = other
      .slice(-3)
      .map(({ text }) => text)
      .join('');
    return picked === '[_]' ? digestTexts(literals(other.slice(0, -3))) : undefined;
  }
  const close = expression.findIndex(({ text }) => text === '}');
  if (expression[0]?.text !== '{' || expression[close + 1]?.text !== '[') return undefined;
  if (!isMeasurement(resolve(expression.slice(close + 2, -1)))) return undefined;
  return digestTexts(literals(expression.slice(0, close + 1)));
}

/** The strings of `{"a", "b"}` or `["a", "b"]`; undefined where anything else is in it. */
function literals(tokens: readonly Token[]): Token[] | undefined {
  const brackets = `${tokens[0]?.text}${tokens.at(-1)?.text}`;
  if (brackets !== '{}' && brackets !== '[]') return undefined;
  const inner = tokens.slice(1, -1);
  const strings = inner.filter(({ kind }) => kind === 'string');
  return inner.every(({ kind, text }) => kind === 'string' || text === ',') ? strings : undefined;
}

function digestTexts(tokens: readonly Token[] | undefined): string[] | undefined {
  const digests = tokens?.map(({ kind, value }) => (kind === 'string' ? digestOf(value) : undefined)) ?? [];
  return digests.length > 0 && digests.every((digest) => digest !== undefined) ? digests : undefined;
}

/** A launch digest as lower-case hex, from hex or from standard base64. */
function digestOf(text: string): string | undefined {
  const hex = text.toLowerCase();
  if (launchDigestPattern.test(hex)) return hex;
  return /^[A-Za-z0-9+/]{64}$/.test(text) ? Buffer.from(text, 'base64').toString('hex') : undefined;
}

/** The resource path that a condition compares, as a text of either spelling or as a list. */
function pathOf(expression: Expression, resolve: Resolve): string | undefined {
  const operator = expression.findIndex(({ text }) => text === '==');
  const sides = [expression.slice(0, operator), expression.slice(operator + 1)];
  const isPath = (side: readonly Token[]) => resolve(side)?.join(' ') === 'data resource-path';
  const other = isPath(sides[0]!) ? sides[1]! : isPath(sides[1]!) ? sides[0]! : undefined;
  if (operator === -1 || other === undefined) return undefined;
  if (other.length === 1 && other[0]!.kind === 'string') return plainPath(other[0]!.value);
  const list = other[0]?.text === '[' ? literals(other) : undefined;
  return list === undefined ? undefined : plainPath(list.map(({ value }) => value).join('/'));
}

function plainPath(text: string): string | undefined {
  const path = text.replace(/^\//, '').replace(/^resource\/(?=[^/]+\/[^/]+\/[^/]+$)/, '');
  return resourcePathPattern.test(path) ? path : undefined;
}

/** What the managed part asks of every image anyway: debugging and migration off, the plugin `resource`. */
function isImplied(expression: Expression, resolve: Resolve): boolean {
  const isFlag = (tokens: readonly Token[]) =>
    /^(?:policy_debug_allowed|policy_migrate_ma)$/.test(resolve(tokens)?.at(-1) ?? '');
  if (expression[0]?.text === 'not') return isFlag(expression.slice(1));
  const [wanted, operator] = [expression.at(-1), expression.at(-2)];
  if (operator?.text !== '==') return false;
  const claim = expression.slice(0, -2);
  if (wanted!.text === 'false') return isFlag(claim);
  return (
    wanted!.kind === 'string' && wanted!.value === 'resource' && resolve(claim)?.join('.') === 'data.plugin'
  );
}

/** What is removed with a rule, and the path that a comment names where the rule names none. */
function placed(
  text: string,
  { comments }: Module,
  rule: Rule,
  from: number,
  path: string | undefined,
): Pick<OldEntry, 'path' | 'start' | 'end' | 'at'> {
  const lineEnd = text.indexOf('\n', rule.end);
  const own = comments.filter(
    ({ start }) => start > rule.start && start < (lineEnd === -1 ? text.length : lineEnd),
  );
  const above: Comment[] = [];
  let start = rule.start;
  for (const comment of comments.filter((each) => each.end <= rule.start && each.start >= from).reverse()) {
    const between = text.slice(comment.end, start);
    const begins = text.slice(text.lastIndexOf('\n', comment.start - 1) + 1, comment.start);
    if (between.trim() !== '' || between.split('\n').length > 2 || begins.trim() !== '') break;
    above.push(comment);
    start = comment.start;
  }
  const namedAbove = onlyPath(above);
  const named = path ?? onlyPath(own) ?? namedAbove;
  const takesComments = namedAbove !== undefined && namedAbove === named;
  const last = own.at(-1);
  const end = last !== undefined && last.end > rule.end ? last.end : rule.end;
  return { path: named, start: takesComments ? start : rule.start, end, at: rule.start };
}

const pathInText =
  /(?:^|[\s"'`(=:])(?:kbs:\/\/\/|\/)?((?:resource\/)?[\w-][\w.-]*\/[\w-][\w.-]*\/[\w-][\w.-]*)(?=$|[\s"'`),;:])/g;

/** The resource path that comments name, where they name exactly one. A date is none. */
function onlyPath(comments: readonly Comment[]): string | undefined {
  const found = comments.flatMap(({ text }) =>
    [...text.slice(1).matchAll(pathInText)].map((match) => plainPath(match[1]!.replace(/\.+$/, ''))),
  );
  const paths = new Set(found.filter((path) => path !== undefined && /[^\d/]/.test(path)));
  return paths.size === 1 ? [...paths][0] : undefined;
}

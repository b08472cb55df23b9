import { callAround, type Reference, referencesIn } from './references.ts';
import type { Branch, Expression, ImportStatement, Rule } from './statements.ts';
import type { Token } from './tokens.ts';

/** A reference that a rule's answer depends on, with the condition or value it stands in. */
export interface Dependence {
  /** With an import's alias replaced by what it stands for. */
  path: readonly string[];
  reference: Reference;
  tokens: readonly Token[];
  /** The condition says `not`, or compares by `!=`. */
  negated: boolean;
}

/** Rules by name, and what imports call things. */
export interface Scope {
  known: ReadonlyMap<string, readonly Rule[]>;
  imports: readonly ImportStatement[];
}

/** Everything that one branch of a rule depends on, through every rule it refers to. */
export interface Closure {
  dependences: readonly Dependence[];
  /** Every token, for words that may stand anywhere. */
  tokens: readonly Token[];
  /** What the rules yield. */
  values: readonly (readonly Token[])[];
}

/** Follows a branch of a rule through the rules it names. A rule that is named brings all of its branches. */
export function closureOf(branch: Branch, scope: Scope): Closure {
  const dependences: Dependence[] = [];
  const tokens: Token[] = [];
  const values: (readonly Token[])[] = [];
  const seen = new Set<string>();
  const aliases = new Map(
    scope.imports.map(({ path, alias }) => [alias ?? path.split('.').at(-1)!, path.split('.')]),
  );
  const visit = ({ value, body }: Branch) => {
    values.push(value);
    for (const part of [value, ...body]) {
      tokens.push(...part);
      const negated = part.some(
        ({ text, kind }, index) => (kind === 'mark' && text === '!=') || (index === 0 && text === 'not'),
      );
      for (const reference of referencesIn(part)) {
        const [first, ...rest] = reference.path as [string, ...string[]];
        const path = [...(aliases.get(first) ?? [first]), ...rest];
        const name = path[0] === 'data' && path[1] === 'policy' ? path[2] : path[0];
        const rules = scope.known.get(name ?? '');
        if (rules === undefined) dependences.push({ path, reference, tokens: part, negated });
        else if (!seen.has(name!)) {
          seen.add(name!);
          for (const rule of rules) for (const each of rule.branches) visit(each);
        }
      }
    }
  };
  visit(branch);
  return { dependences, tokens, values };
}

/** Whether tokens are what a rule yields, in contrast to one of its conditions. */
function isValue(tokens: readonly Token[], { values }: Closure): boolean {
  return values.includes(tokens);
}

/** Questions about a value's kind or size, which tell nothing about what it is. */
const kindQuestions = /^(?:is_[a-z]+|count|type_name)$/;

/**
 * Whether a dependence is the requested resource path, and more is asked than its kind or whether there is one. A
 * name that the path is given counts where the name is used.
 */
export function bindsPath({ path, reference, tokens, negated }: Dependence, closure: Closure): boolean {
  if (negated) return false;
  if (reference.end === tokens.length && reference.first === 0 && !isValue(tokens, closure)) return false;
  const [name, assign] = tokens;
  const isAssigned = reference.first === 2 && reference.end === tokens.length && /^:?=$/.test(assign!.text);
  if (
    isAssigned &&
    name!.kind === 'name' &&
    closure.tokens.filter(({ text }) => text === name!.text).length < 2
  ) {
    return false;
  }
  const around = callAround(tokens, reference.first);
  if (path[0] === 'data' && path[1] === 'resource-path') return !kindQuestions.test(around ?? '');
  // object.get(data, "resource-path", …)
  const key = tokens[reference.end + 1];
  return path.length === 1 && path[0] === 'data' && around === 'object.get' && key?.value === 'resource-path';
}

/** `data.plugin == "x"` with an x that is not `resource`, either way round. */
export function asksForOtherPlugin(expression: Expression): boolean {
  const operator = expression.findIndex(
    ({ kind, text }) => kind === 'mark' && (text === '==' || text === '='),
  );
  if (operator === -1) return false;
  const sides = [expression.slice(0, operator), expression.slice(operator + 1)];
  const literal = sides.find((side) => side.length === 1 && side[0]!.kind === 'string');
  const other = sides.find((side) => side !== literal) ?? [];
  const [reference, ...more] = referencesIn(other);
  const isPlugin = reference?.path.join('.') === 'data.plugin' && reference.end === other.length;
  return isPlugin && more.length === 0 && literal !== undefined && literal[0]!.value !== 'resource';
}

import { referencesIn } from './references.ts';
import type { Branch, ImportStatement, Rule } from './statements.ts';
import type { Token } from './tokens.ts';

/** Rules by name, and what imports call things. */
export interface Scope {
  known: ReadonlyMap<string, readonly Rule[]>;
  imports: readonly ImportStatement[];
}

/** Everything that one branch of a rule depends on, through every rule it refers to. */
export interface Closure {
  /** References that no rule stands behind, an import's alias replaced by what it stands for. */
  dependences: readonly (readonly string[])[];
  /** Every token, for words that may stand anywhere. */
  tokens: readonly Token[];
}

/** Follows a branch of a rule through the rules it names. A rule that is named brings all of its branches. */
export function closureOf(branch: Branch, scope: Scope): Closure {
  const dependences: string[][] = [];
  const tokens: Token[] = [];
  const seen = new Set<string>();
  const aliases = new Map(
    scope.imports.map(({ path, alias }) => [alias ?? path.split('.').at(-1)!, path.split('.')]),
  );
  const visit = ({ value, body }: Branch) => {
    for (const part of [value, ...body]) {
      tokens.push(...part);
      for (const reference of referencesIn(part)) {
        const [first, ...rest] = reference.path as [string, ...string[]];
        const path = [...(aliases.get(first) ?? [first]), ...rest];
        const name = path[0] === 'data' && path[1] === 'policy' ? path[2] : path[0];
        const rules = scope.known.get(name ?? '');
        if (rules === undefined) dependences.push(path);
        else if (!seen.has(name!)) {
          seen.add(name!);
          for (const rule of rules) for (const each of rule.branches) visit(each);
        }
      }
    }
  };
  visit(branch);
  return { dependences, tokens };
}

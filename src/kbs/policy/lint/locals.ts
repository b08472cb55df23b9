import type { Branch, Rule } from '../rego/statements.ts';
import { readCondition, type Term } from '../rego/terms.ts';

/** What a local name stands for: a term, or a part of it, in the scope that the term stands in. */
export interface Meaning {
  /** Undefined where the name may be anything. */
  term: Term | undefined;
  /** `member` and `key`: some one of a collection's; `item`: the one at `index` of an array. */
  part: 'whole' | 'member' | 'key' | 'item';
  index?: number;
  names: Names;
}

/** The local names of a body. */
export type Names = ReadonlyMap<string, Meaning>;

/**
 * The local names of a branch. Conditions hold together, so that where a name is given a term twice either tells what
 * it is.
 * @param isGlobal names that `=` compares with, rather than gives a meaning.
 */
export function localsOf(branch: Branch, isGlobal: (name: string) => boolean, parameters?: Names): Names {
  const names = new Map<string, Meaning>(parameters);
  const name = (word: string, meaning: Omit<Meaning, 'names'>) => {
    if (word !== '_' && !names.has(word)) names.set(word, { ...meaning, names });
  };
  for (const condition of branch.body.map(readCondition)) {
    if (condition.kind === 'some') {
      const { names: words, domain: term } = condition;
      for (const [index, word] of words.entries()) {
        if (term === undefined) name(word, { term, part: 'whole' });
        else name(word, { term, part: index < words.length - 1 ? 'key' : 'member' });
      }
    } else if (condition.kind === 'assign') {
      const { operator, target, term } = condition;
      const isLocal = (word: string) => operator === ':=' || !isGlobal(word);
      if (target.kind === 'name' && isLocal(target.name)) name(target.name, { term, part: 'whole' });
      if (target.kind !== 'array') continue;
      for (const [index, item] of target.items.entries()) {
        if (item.kind === 'name' && isLocal(item.name)) name(item.name, { term, part: 'item', index });
      }
    }
  }
  return names;
}

/** The names that a call gives to a function's parameters; undefined where the function takes a pattern. */
export function parametersOf({ head }: Rule, args: readonly Term[], names: Names): Names | undefined {
  const inner = head.slice(1, -1);
  const words = inner.filter((_, index) => index % 2 === 0);
  if (words.length !== args.length || words.some(({ kind }) => kind !== 'name')) return undefined;
  return new Map(words.map(({ text }, index) => [text, { term: args[index], part: 'whole', names }]));
}

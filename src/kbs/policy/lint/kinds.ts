import { applied, keysOf, membersOf, selected, type Value } from '../rego/constants.ts';
import type { Branch, ImportStatement, Rule } from '../rego/statements.ts';
import { readTerm, type Term } from '../rego/terms.ts';
import { localsOf, type Meaning, type Names, parametersOf } from './locals.ts';

/**
 * What a value is made of: the resource path, so that from an equal value follows something about the path; the
 * plugin; one of some constants; or anything else.
 */
export type Kind =
  | { is: 'path' }
  | { is: 'plugin' }
  | { is: 'constant'; oneOf: readonly Value[] }
  | { is: 'other' };

const path: Kind = { is: 'path' };
const plugin: Kind = { is: 'plugin' };
const other: Kind = { is: 'other' };
const constant = (oneOf: readonly Value[]): Kind => ({ is: 'constant', oneOf });

/** What a name stands for that is no local one. */
export type Target =
  | { to: 'rule'; rules: readonly Rule[]; name: string; steps: readonly Term[] }
  | { to: 'data'; steps: readonly Term[] }
  | { to: 'unknown' };

export interface PolicyNames {
  known: ReadonlyMap<string, readonly Rule[]>;
  imports: readonly ImportStatement[];
}

/** Tells of values in a policy what they are made of. Whatever is not surely a path or a constant is `other`. */
export class Kinds {
  readonly #known: PolicyNames['known'];
  readonly #aliases: ReadonlyMap<string, readonly string[]>;
  readonly #ofRules = new Map<string, Kind>();
  readonly #busy = new Set<Meaning>();

  constructor({ known, imports }: PolicyNames) {
    this.#known = known;
    this.#aliases = new Map(
      imports.map(({ path, alias }) => [alias ?? path.split('.').at(-1)!, path.split('.')]),
    );
  }

  /** Whether a name stands for something outside of a body. */
  #isGlobal(name: string): boolean {
    return this.#known.has(name) || this.#aliases.has(name) || name === 'input' || name === 'data';
  }

  /** The local names of a branch. */
  namesOf(branch: Branch, parameters?: Names): Names {
    return localsOf(branch, (name) => this.#isGlobal(name), parameters);
  }

  /** What a name and the steps behind it lead to, imports followed. */
  target(name: string, steps: readonly Term[]): Target {
    const [first, ...rest] = this.#aliases.get(name) ?? [name];
    const all = [...rest.map((value): Term => ({ kind: 'literal', value })), ...steps];
    const [step, next] = all;
    if (first === 'data') {
      if (step?.kind !== 'literal' || step.value !== 'policy') return { to: 'data', steps: all };
      if (next?.kind !== 'literal') return { to: 'unknown' };
      return this.#rule(String(next.value), all.slice(2));
    }
    return this.#rule(first!, all);
  }

  #rule(name: string, steps: readonly Term[]): Target {
    const rules = this.#known.get(name);
    return rules === undefined ? { to: 'unknown' } : { to: 'rule', rules, name, steps };
  }

  /** The policy's own function of a name, with `data.policy.` in front or not; `undefined` where it is a built-in. */
  functionOf(name: string): readonly Rule[] | 'unclear' | undefined {
    const own = name.startsWith('data.policy.') ? name.slice('data.policy.'.length) : name;
    const first = own.split('.')[0]!;
    if (this.#aliases.has(first)) return 'unclear';
    const rules = this.#known.get(first);
    if (rules === undefined) return own === name ? undefined : 'unclear';
    return own === first && rules.every(({ shape }) => shape === 'function') ? rules : 'unclear';
  }

  kindOf(term: Term, names: Names): Kind {
    switch (term.kind) {
      case 'literal':
        return constant([term.value]);
      case 'array':
      case 'set':
      case 'object':
        return this.#collection(term, names);
      case 'name':
        return this.#reference(term.name, [], names);
      case 'reference':
        if (term.base.kind === 'name') return this.#reference(term.base.name, term.steps, names);
        return this.#behind(this.kindOf(term.base, names), term.steps, names);
      case 'call':
        return this.#call(term.name, term.args, names);
      default:
        return other;
    }
  }

  #single(term: Term, names: Names): Value | undefined {
    const kind = this.kindOf(term, names);
    return kind.is === 'constant' && kind.oneOf.length === 1 ? kind.oneOf[0] : undefined;
  }

  #collection(term: Term & { kind: 'array' | 'set' | 'object' }, names: Names): Kind {
    if (term.kind === 'object') {
      const entries: [Value, Value][] = [];
      for (const [key, value] of term.entries) {
        const pair = [this.#single(key, names), this.#single(value, names)] as const;
        if (pair[0] === undefined || pair[1] === undefined) return other;
        entries.push([pair[0], pair[1]]);
      }
      return constant([{ object: entries }]);
    }
    const isOfPath = (item: Term) => this.kindOf(item, names).is === 'path';
    if (term.kind === 'array' && term.items.length > 0 && term.items.every(isOfPath)) return path;
    const values: Value[] = [];
    for (const item of term.items) {
      const value = this.#single(item, names);
      if (value === undefined) return other;
      values.push(value);
    }
    return constant([term.kind === 'array' ? values : { set: values }]);
  }

  #reference(name: string, steps: readonly Term[], names: Names): Kind {
    const meaning = names.get(name);
    if (meaning !== undefined) return this.#behind(this.#meant(meaning), steps, names);
    const target = this.target(name, steps);
    if (target.to === 'rule') return this.#behind(this.kindOfRule(target.name), target.steps, names);
    if (target.to === 'unknown') return other;
    const [step, ...rest] = target.steps;
    if (step?.kind !== 'literal') return other;
    if (step.value === 'plugin' && rest.length === 0) return plugin;
    return step.value === 'resource-path' ? this.#behind(path, rest, names) : other;
  }

  #meant(meaning: Meaning): Kind {
    if (meaning.term === undefined || this.#busy.has(meaning)) return other;
    this.#busy.add(meaning);
    const kind = this.kindOf(meaning.term, meaning.names);
    this.#busy.delete(meaning);
    if (meaning.part === 'whole') return kind;
    if (meaning.part === 'item')
      return this.#behind(kind, [{ kind: 'literal', value: meaning.index! }], meaning.names);
    if (kind.is !== 'constant') return other;
    const pick = meaning.part === 'member' ? membersOf : keysOf;
    return constant(kind.oneOf.flatMap((value) => [...pick(value)]));
  }

  /** A part of the path is picked by a number that is written there: what a variable picks may be any part. */
  #behind(kind: Kind, steps: readonly Term[], names: Names): Kind {
    let reached = kind;
    for (const step of steps) {
      if (reached.is === 'path') {
        if (typeof this.#single(step, names) !== 'number') return other;
      } else if (reached.is === 'constant') {
        const key = this.#single(step, names);
        reached = constant(reached.oneOf.flatMap((value) => [...selected(value, key)]));
      } else return other;
    }
    return reached;
  }

  #call(name: string, args: readonly Term[], names: Names): Kind {
    const own = this.functionOf(name);
    if (own === 'unclear') return other;
    if (own !== undefined) return this.#result(own, args, names);
    const kinds = args.map((arg) => this.kindOf(arg, names));
    const values = args.map((arg) => this.#single(arg, names));
    const [first, second] = kinds;
    const isPath =
      (name === 'split' && first?.is === 'path' && values[1] === '/') ||
      (name === 'concat' && second?.is === 'path' && values[0] !== undefined) ||
      (name === 'array.slice' &&
        first?.is === 'path' &&
        values[1] !== undefined &&
        values[2] !== undefined) ||
      (name === 'trim_prefix' && first?.is === 'path' && values[1] === 'resource/');
    if (isPath) return path;
    const [data, key] = args;
    if (name === 'object.get' && data?.kind === 'name' && !names.has('data') && args.length === 3) {
      const target = this.target(data.name, [key!]);
      if (target.to === 'data' && target.steps.length === 1 && values[1] === 'resource-path') return path;
    }
    if (values.includes(undefined)) return other;
    const value = applied(name, values as Value[]);
    return value === undefined ? other : constant([value]);
  }

  /** What a function of the policy gives. */
  #result(rules: readonly Rule[], args: readonly Term[], names: Names): Kind {
    const key = `${rules[0]!.name}(`;
    if (this.#ofRules.has(key)) return other;
    this.#ofRules.set(key, other);
    const kinds = rules.flatMap((rule) => {
      const parameters = parametersOf(rule, args, names);
      if (parameters === undefined) return [other];
      return rule.branches.map((branch) => this.#valueOf(branch, parameters));
    });
    this.#ofRules.delete(key);
    return together(kinds);
  }

  #valueOf(branch: Branch, parameters?: Names): Kind {
    if (branch.value.length === 0) return constant([true]);
    return this.kindOf(readTerm(branch.value), this.namesOf(branch, parameters));
  }

  /** What a rule yields, whichever of its branches holds: a default is one of them. */
  kindOfRule(name: string): Kind {
    const before = this.#ofRules.get(name);
    if (before !== undefined) return before;
    this.#ofRules.set(name, other);
    const rules = this.#known.get(name) ?? [];
    const kind = rules.every(({ shape }) => shape === 'complete')
      ? together(rules.flatMap(({ branches }) => branches.map((branch) => this.#valueOf(branch))))
      : this.#partial(rules);
    this.#ofRules.set(name, kind);
    return kind;
  }

  /** `digests["<path>"] := …` and `paths contains "<path>"`, a rule for each. */
  #partial(rules: readonly Rule[]): Kind {
    const entries: [Value, Value][] = [];
    const items: Value[] = [];
    for (const { shape, head, containsAt, branches } of rules) {
      const [branch] = branches;
      if (shape !== 'partial' || branches.length !== 1) return other;
      const names = this.namesOf(branch!);
      if (containsAt !== undefined) {
        if (head[0]?.start !== containsAt) return other;
        const item = this.#single(readTerm(head.slice(1)), names);
        if (item === undefined) return other;
        items.push(item);
      } else {
        const keys = readTerm(head);
        if (keys.kind !== 'array' || keys.items.length !== 1 || branch!.value.length === 0) return other;
        const key = this.#single(keys.items[0]!, names);
        const value = this.#single(readTerm(branch!.value), names);
        if (key === undefined || value === undefined) return other;
        entries.push([key, value]);
      }
    }
    if (entries.length > 0 && items.length > 0) return other;
    return constant([entries.length > 0 ? { object: entries } : { set: items }]);
  }
}

/** What each of several is, if they are of one kind. */
function together(kinds: readonly Kind[]): Kind {
  const [first] = kinds;
  if (first === undefined || kinds.some(({ is }) => is !== first.is)) return other;
  if (first.is !== 'constant') return first;
  return constant(kinds.flatMap((kind) => (kind.is === 'constant' ? kind.oneOf : [])));
}

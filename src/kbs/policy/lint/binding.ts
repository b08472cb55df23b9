import { isEveryPath, isEveryPrefix, keysOf, membersOf, type Value } from '../rego/constants.ts';
import type { Branch, Rule } from '../rego/statements.ts';
import { type Condition, readCondition, readTerm, type Term } from '../rego/terms.ts';
import { type Kind, Kinds, type PolicyNames } from './kinds.ts';
import { type Meaning, type Names, parametersOf } from './locals.ts';

/**
 * Whether a branch of a rule can hold for paths alone that are written in the policy, or for another plugin: where one
 * of its conditions compares the path with something constant by `==`, `=`, `in` or `startswith`, or looks something
 * constant up by it; there, or in a rule that must hold as well. Of what this does not understand it assumes that it
 * may hold for every path.
 */
export function bindsPath(branch: Branch, policy: PolicyNames): boolean {
  return new Binding(policy).holdsOnlyBound(branch);
}

class Binding {
  readonly #kinds: Kinds;
  readonly #busy = new Set<Rule>();
  readonly #followed = new Set<Meaning>();

  constructor(policy: PolicyNames) {
    this.#kinds = new Kinds(policy);
  }

  /** The branch is not true for paths that are not bound; it may be false, or undefined. */
  holdsOnlyBound(branch: Branch, parameters?: Names): boolean {
    const { value } = branch;
    if (value.length === 1 && value[0]!.text === 'false') return true;
    return this.#branchBinds(branch, parameters, (term, names) => this.#holds(term, names));
  }

  /** The branch has no value at all for paths that are not bound. */
  #isDefinedOnlyBound(branch: Branch, parameters?: Names): boolean {
    return this.#branchBinds(branch, parameters, (term, names) => this.#isDefined(term, names));
  }

  #branchBinds(
    branch: Branch,
    parameters: Names | undefined,
    ofValue: (term: Term, names: Names) => boolean,
  ): boolean {
    const names = this.#kinds.namesOf(branch, parameters);
    if (branch.body.some((expression) => this.#condition(readCondition(expression), names))) return true;
    return branch.value.length > 0 && ofValue(readTerm(branch.value), names);
  }

  #condition(condition: Condition, names: Names): boolean {
    switch (condition.kind) {
      case 'some':
        return condition.domain !== undefined && this.#isFilled(condition.domain, names);
      case 'assign': {
        const { operator, target, term } = condition;
        if (operator === '=' && this.#compares('==', [target, term], names)) return true;
        return this.#isDefined(term, names) || (operator === '=' && this.#isDefined(target, names));
      }
      case 'term':
        return this.#holds(condition.term, names);
      default:
        return false;
    }
  }

  /** Whether a term is true for bound paths alone. */
  #holds(term: Term, names: Names): boolean {
    if (term.kind === 'operation') {
      const { operator, operands } = term;
      if (this.#compares(operator, operands, names)) return true;
      if (operator === 'in') {
        const [item, collection] = operands;
        return this.#isDefined(item!, names) || this.#isFilled(collection!, names);
      }
    }
    if (term.kind === 'name') {
      const meaning = names.get(term.name);
      if (meaning?.term !== undefined && meaning.part === 'whole' && !this.#followed.has(meaning)) {
        this.#followed.add(meaning);
        const holds = this.#holds(meaning.term, meaning.names);
        this.#followed.delete(meaning);
        return holds;
      }
    }
    if (term.kind === 'name' || (term.kind === 'reference' && term.base.kind === 'name')) {
      const rules = this.#rulesAt(term, names);
      if (rules !== undefined && this.#each(rules, (branch) => this.holdsOnlyBound(branch))) return true;
    }
    if (term.kind === 'call') {
      const own = this.#kinds.functionOf(term.name);
      if (own === undefined && term.name === 'startswith') {
        const [text, prefix] = term.args.map((arg) => this.#kinds.kindOf(arg, names));
        if (text?.is === 'path' && prefix?.is === 'constant' && !prefix.oneOf.some(isEveryPrefix))
          return true;
      }
      if (this.#calls(own, term.args, names, (...args) => this.holdsOnlyBound(...args))) return true;
    }
    return this.#isDefined(term, names);
  }

  /** Whether a term has a value for bound paths alone. */
  #isDefined(term: Term, names: Names): boolean {
    const each = (terms: readonly Term[]) => terms.some((inner) => this.#isDefined(inner, names));
    switch (term.kind) {
      case 'array':
      case 'set':
        return each(term.items);
      case 'object':
        return each(term.entries.flat());
      case 'operation':
        // In regorus it is false, and not undefined, whether something undefined is in something.
        return term.operator !== 'in' && each(term.operands);
      case 'name':
      case 'reference':
        return this.#isThere(term, names);
      case 'call': {
        if (term.name === 'print') return false;
        const own = this.#kinds.functionOf(term.name);
        return (
          each(term.args) ||
          this.#calls(own, term.args, names, (...args) => this.#isDefinedOnlyBound(...args))
        );
      }
      default:
        return false;
    }
  }

  #isThere(term: Term & { kind: 'name' | 'reference' }, names: Names): boolean {
    const rules = this.#rulesAt(term, names);
    if (rules !== undefined && this.#each(rules, (branch) => this.#isDefinedOnlyBound(branch))) return true;
    if (term.kind === 'name') return false;
    const { base, steps } = term;
    if (base.kind !== 'name' && this.#isDefined(base, names)) return true;
    return steps.some((step, index) => {
      if (this.#isDefined(step, names)) return true;
      const key = this.#kinds.kindOf(step, names);
      if (key.is !== 'path' && key.is !== 'plugin') return false;
      const before =
        index === 0 ? base : ({ kind: 'reference', base, steps: steps.slice(0, index) } as const);
      return isBound(key, valuesOf(this.#kinds.kindOf(before, names), keysOf));
    });
  }

  /** The complete rules that a name stands for, with or without steps into their value. */
  #rulesAt(term: Term, names: Names): readonly Rule[] | undefined {
    const [base, steps] = term.kind === 'reference' ? [term.base, term.steps] : [term, []];
    if (base.kind !== 'name' || names.has(base.name)) return undefined;
    const target = this.#kinds.target(base.name, steps);
    if (target.to !== 'rule') return undefined;
    return target.rules.every(({ shape }) => shape === 'complete') ? target.rules : undefined;
  }

  #each(rules: readonly Rule[], binds: (branch: Branch, rule: Rule) => boolean): boolean {
    return rules.every((rule) => {
      if (this.#busy.has(rule)) return false;
      this.#busy.add(rule);
      const all = rule.branches.every((branch) => binds(branch, rule));
      this.#busy.delete(rule);
      return all;
    });
  }

  #calls(
    own: ReturnType<Kinds['functionOf']>,
    args: readonly Term[],
    names: Names,
    binds: (branch: Branch, parameters: Names) => boolean,
  ): boolean {
    if (own === undefined || own === 'unclear') return false;
    return this.#each(own, (branch, rule) => {
      const parameters = parametersOf(rule, args, names);
      return parameters !== undefined && binds(branch, parameters);
    });
  }

  #compares(operator: string, operands: readonly Term[], names: Names): boolean {
    const [one, other] = operands.map((operand) => this.#kinds.kindOf(operand, names));
    if (one === undefined || other === undefined) return false;
    if (operator === 'in') return isBound(one, valuesOf(other, membersOf));
    if (operator !== '==' && operator !== '=') return false;
    const isTrue = (kind: Kind) => kind.is === 'constant' && kind.oneOf.every((value) => value === true);
    return (
      isBound(
        one,
        valuesOf(other, (value) => [value]),
      ) ||
      isBound(
        other,
        valuesOf(one, (value) => [value]),
      ) ||
      (isTrue(other) && this.#holds(operands[0]!, names)) ||
      (isTrue(one) && this.#holds(operands[1]!, names))
    );
  }

  /** Whether a collection has something in it for bound paths alone: `object.get` with an empty default is one. */
  #isFilled(term: Term, names: Names): boolean {
    if (this.#isDefined(term, names)) return true;
    if (term.kind !== 'call' || term.name !== 'object.get' || this.#kinds.functionOf(term.name) !== undefined)
      return false;
    const [table, key, missing] = term.args.map((arg) => this.#kinds.kindOf(arg, names));
    const isEmpty =
      missing?.is === 'constant' &&
      missing.oneOf.every((value) => typeof value === 'object' && membersOf(value).length === 0);
    return isEmpty && key !== undefined && isBound(key, valuesOf(table!, keysOf));
  }
}

function valuesOf(kind: Kind, pick: (value: Value) => readonly Value[]): readonly Value[] | undefined {
  return kind.is === 'constant' ? kind.oneOf.flatMap((value) => [...pick(value)]) : undefined;
}

/** Whether what may equal these constants alone is thereby bound: to keys of its own, or to another plugin. */
function isBound(kind: Kind, constants: readonly Value[] | undefined): boolean {
  if (constants === undefined) return false;
  if (kind.is === 'path') return !constants.some(isEveryPath);
  return kind.is === 'plugin' && !constants.includes('resource');
}

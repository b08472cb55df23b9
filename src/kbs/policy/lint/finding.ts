import type { ImportStatement, Module, PackageStatement, Rule } from '../rego/statements.ts';

/** What kind of fault a finding is about; the same words in every version. */
export type LintRule =
  | 'syntax'
  | 'marks'
  | 'package'
  | 'import'
  | 'import-missing'
  | 'rule-without-if'
  | 'reserved-name'
  | 'unknown-function'
  | 'allow-undefined'
  | 'allow-always'
  | 'allow-conflict'
  | 'allow-not-boolean'
  | 'allow-sample'
  | 'allow-any-path'
  | 'allow-of-others'
  | 'allow-no-default'
  | 'path-unguarded'
  | 'path-one-form'
  | 'too-large'
  | 'managed-changed'
  | 'managed-unchecked'
  | 'engine';

/** Something about a policy that is dangerous or dead on some key broker (`refuse`), or worth a look (`warn`). */
export interface LintFinding {
  severity: 'refuse' | 'warn';
  rule: LintRule;
  /** Both counted from 1. */
  line: number;
  column: number;
  message: string;
  remedy: string;
}

/** A finding before its place is turned into line and column. */
export interface Remark extends Omit<LintFinding, 'line' | 'column'> {
  /** Offset in the text. */
  at: number;
}

/** What a group of checks is given. */
export interface Subject {
  module: Module;
  packages: readonly PackageStatement[];
  imports: readonly ImportStatement[];
  /** Rules of the text itself: these are judged. */
  rules: readonly Rule[];
  /** These, and rules that stand beside the text: what a rule that is judged may refer to. */
  known: ReadonlyMap<string, readonly Rule[]>;
  /** The builder's managed part stands beside the text, with a rule `allow` of its own. */
  besideManaged: boolean;
  /** Whether an offset lies in the managed part of the text itself. */
  isManaged(at: number): boolean;
}

export function refusal(rule: LintRule, at: number, message: string, remedy: string): Remark {
  return { severity: 'refuse', rule, at, message, remedy };
}

export function warning(rule: LintRule, at: number, message: string, remedy: string): Remark {
  return { severity: 'warn', rule, at, message, remedy };
}

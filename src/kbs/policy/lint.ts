import { checkAllow } from './lint/allow.ts';
import { type LintFinding, type Remark, refusal, type Subject } from './lint/finding.ts';
import { checkBodies, checkImports, checkPackage } from './lint/header.ts';
import { checkFunctions, checkNames } from './lint/names.ts';
import { checkPath } from './lint/path.ts';
import { positionsOf } from './rego/positions.ts';
import { type Rule, readModule } from './rego/statements.ts';

export type { LintFinding, LintRule } from './lint/finding.ts';

export interface LintOptions {
  /** The builder's managed part, which stands or will stand beside the text: known, but not judged. */
  beside?: string;
  /** Offsets of the managed part where it lies in the text itself. */
  managed?: { start: number; end: number } | undefined;
}

/**
 * Reads a resource policy as the engines of all key brokers would, and says what is dangerous or dead on any of
 * them. What cannot be read is refused:
 * nobody can tell what it releases.
 * @returns findings in the order of the text.
 */
export function lintPolicy(text: string, options: LintOptions = {}): LintFinding[] {
  const { beside, managed } = options;
  const module = readModule(text);
  const rules = module.statements.filter((statement) => statement.kind === 'rule');
  const others = beside === undefined ? [] : readModule(beside).statements;
  const known = new Map<string, Rule[]>();
  for (const rule of [...rules, ...others]) {
    if (rule.kind === 'rule') known.set(rule.name, [...(known.get(rule.name) ?? []), rule]);
  }
  const subject: Subject = {
    module,
    packages: module.statements.filter((statement) => statement.kind === 'package'),
    imports: module.statements.filter((statement) => statement.kind === 'import'),
    rules,
    known,
    besideManaged: beside !== undefined,
    isManaged: (at) => managed !== undefined && at >= managed.start && at < managed.end,
  };
  const remarks: Remark[] = module.faults.map(({ at, message }) =>
    refusal('syntax', at, `it cannot be read: ${message}`, 'write each statement on a line of its own'),
  );
  const unreadable = module.statements.length === 0 && remarks.length > 0;
  const checks = unreadable
    ? []
    : [checkPackage, checkImports, checkBodies, checkNames, checkFunctions, checkAllow, checkPath];
  for (const check of checks) remarks.push(...check(subject));
  const positionAt = positionsOf(text);
  return remarks
    .sort((one, other) => one.at - other.at)
    .map(({ at, ...rest }) => ({ ...rest, ...positionAt(at) }));
}

/** `FILE:line:column: refuse: message`, as compilers write it. */
export function formatFinding(file: string, finding: LintFinding): string {
  const { line, column, severity, message } = finding;
  return `${file}:${line}:${column}: ${severity === 'refuse' ? 'refuse' : 'warning'}: ${message}`;
}

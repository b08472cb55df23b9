import { dirname, resolve } from 'node:path';
import { messageOf } from '../../host/errors.ts';
import { readRegistry, registryPath } from '../registry/registry.ts';
import { limitFindings } from './limits.ts';
import { type LintFinding, lintPolicy } from './lint.ts';
import { compareManaged } from './managed.ts';
import { lintOthers } from './policy.ts';
import { freshPolicy, withoutManaged } from './policy-file.ts';
import { checkWithEngine } from './rego-engine.ts';
import { seamFindings } from './seams.ts';
import { type MinimumTcb, type PolicyParts, splitPolicy } from './text.ts';

export interface LintFileOptions {
  /** What the managed part was made with. */
  minTcb?: MinimumTcb | undefined;
  /** Path of Open Policy Agent, where one is at hand. */
  engine?: string | undefined;
  signal?: AbortSignal | undefined;
}

/**
 * Judges a policy file: the rules of others by {@link lintPolicy}, the managed part by comparison with what the
 * registry in the same folder makes of it, and the whole with the engine.
 * @returns findings in the order of the text.
 */
export async function lintFile(
  path: string,
  text: string,
  options: LintFileOptions = {},
): Promise<LintFinding[]> {
  let parts: PolicyParts;
  try {
    parts = splitPolicy(text);
  } catch (error) {
    const message = messageOf(error);
    const line = Number(/^line (\d+) /.exec(message)?.[1] ?? 1);
    const remedy = 'leave exactly one "# BEGIN cvm-builder" and one "# END cvm-builder" line, or none';
    const marks: LintFinding = { severity: 'refuse', rule: 'marks', line, column: 1, message, remedy };
    return inOrder([marks, ...lintPolicy(text)]);
  }
  const findings = [...limitFindings(text), ...(await judge(resolve(path), text, parts, options.minTcb))];
  if (options.engine !== undefined) {
    const faults = await checkWithEngine(options.engine, text, options.signal);
    for (const { line, column, message } of newIn(findings, faults)) {
      const remedy = 'this is what Open Policy Agent says; key brokers refuse or deny as well';
      findings.push({ severity: 'refuse', rule: 'engine', line, column, message, remedy });
    }
  }
  return inOrder(findings);
}

async function judge(
  path: string,
  text: string,
  parts: PolicyParts,
  minimum: MinimumTcb | undefined,
): Promise<LintFinding[]> {
  const { before, managed } = parts;
  const folder = dirname(path);
  const registry = await readRegistry(folder);
  const span = { start: before.length, end: before.length + managed.length };
  const line = before.split('\n').length;
  if (registry === undefined) {
    const findings = lintPolicy(text, { managed: managed === '' ? undefined : span });
    if (managed === '') return findings;
    const message = `the managed part cannot be compared: there is no ${registryPath(folder)}`;
    const remedy = 'check the file in its policy directory';
    const unchecked = {
      severity: 'warn',
      rule: 'managed-unchecked',
      line,
      column: 1,
      message,
      remedy,
    } as const;
    return [...findings, ...newIn(findings, seamFindings(parts, managed)), unchecked];
  }
  const images = registry.images;
  if (managed === '') {
    const findings = lintPolicy(withoutManaged(parts));
    const missing = images.filter(({ status }) => status === 'active').length;
    if (missing === 0) return findings;
    const message = `the managed part is missing, and with it the rules of ${missing} active images of the registry`;
    const remedy = 'the next build writes it';
    return [
      ...findings,
      { severity: 'refuse', rule: 'managed-changed', line: 1, column: 1, message, remedy },
    ];
  }
  const expected = (await freshPolicy(images, minimum)).managed;
  return [...lintOthers(parts, expected), ...compareManaged(managed, expected, line, images)];
}

/** Those in lines of which nothing is refused yet. */
function newIn<Fault extends { line: number }>(
  findings: readonly LintFinding[],
  faults: readonly Fault[],
): Fault[] {
  const known = new Set(findings.filter(({ severity }) => severity === 'refuse').map(({ line }) => line));
  return faults.filter(({ line }) => !known.has(line));
}

function inOrder(findings: LintFinding[]): LintFinding[] {
  return findings.sort((one, other) => one.line - other.line || one.column - other.column);
}

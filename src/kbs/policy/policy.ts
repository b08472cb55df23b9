import { mkdir } from 'node:fs/promises';
import { UserError } from '../../host/errors.ts';
import { writeFileAtomic } from '../../host/files.ts';
import type { ImageRecord } from '../registry/record.ts';
import { lockPolicyDirectory, readRegistry } from '../registry/registry.ts';
import { limitFindings } from './limits.ts';
import { formatFinding, type LintFinding, type LintRule, lintPolicy } from './lint.ts';
import { freshPolicy, partsOf, policyPath, readPolicy, withManaged, withoutManaged } from './policy-file.ts';
import { findRegoEngine } from './rego-engine.ts';
import { seamFindings } from './seams.ts';
import { selfTest } from './self-test.ts';
import type { MinimumTcb, PolicyParts } from './text.ts';

export { policyPath } from './policy-file.ts';
export type { MinimumTcb } from './text.ts';

export interface WritePolicyOptions {
  minTcb?: MinimumTcb | undefined;
  /** Path of Open Policy Agent, to try the text before it is written; the one on PATH unless given. */
  opa?: string | undefined;
  signal?: AbortSignal | undefined;
}

export interface WrittenPolicy {
  path: string;
  text: string;
  changed: boolean;
  /** About rules that are not ours. */
  warnings: string[];
  /** How the text was tried, in a sentence; empty where it did not change. */
  notes: string[];
}

/**
 * Brings a directory's policy.rego up to date with its registry: the part between the marks is replaced, everything
 * else stays byte for byte; without marks the part is appended; without a file a whole policy is written. Where a
 * Rego engine is at hand, a changed text is tried first.
 * @throws UserError where the file's other rules would make ours unsafe or unheard (see {@link lintPolicy}), the file
 * is a symbolic link, or the text fails its trial; the file is then as it was.
 */
export async function writePolicy(
  directory: string,
  options: WritePolicyOptions = {},
): Promise<WrittenPolicy> {
  await mkdir(directory, { recursive: true });
  await using _lock = await lockPolicyDirectory(directory, options.signal);
  const path = policyPath(directory);
  const images = (await readRegistry(directory))?.images ?? [];
  const present = await readPolicy(path);
  const { text, warnings } = await composePolicy(path, present, images, options.minTcb);
  const changed = text !== present;
  const notes = changed ? [await tryBeforeWriting(text, images, options)] : [];
  if (changed) await writeFileAtomic(path, text, 0o644);
  return { path, text, changed, warnings, notes };
}

/** Findings about rules of others that harm nothing of ours: they do not stop a build. */
const harmlessToOurs: readonly LintRule[] = ['path-one-form'];

/**
 * The text that a policy file gets for a registry's images.
 * @throws UserError listing what forbids it, with `file:line:column` each.
 */
export async function composePolicy(
  path: string,
  present: string | undefined,
  images: readonly ImageRecord[],
  minimum: MinimumTcb | undefined,
): Promise<{ text: string; warnings: string[] }> {
  const fresh = await freshPolicy(images, minimum);
  if (present === undefined) {
    refuse(path, limitFindings(fresh.text), 'retire images, or use another policy directory and key broker');
    return { text: fresh.text, warnings: [] };
  }
  const parts = partsOf(path, present);
  const findings = lintOthers(parts, fresh.managed);
  const stops = ({ severity, rule }: LintFinding) => severity === 'refuse' && !harmlessToOurs.includes(rule);
  const text = withManaged(parts, fresh.managed);
  refuse(
    path,
    [...findings.filter(stops), ...limitFindings(text)],
    'correct it by hand, or move the file away to have a new one written',
  );
  const warnings = findings.map(({ line, message }) => `${path}:${line}: ${message}`);
  return { text, warnings };
}

/** @throws UserError where there is any finding. */
function refuse(path: string, findings: readonly LintFinding[], hint: string): void {
  if (findings.length === 0) return;
  const causes = findings.map(({ message }) => message).join('; ');
  throw new UserError(`cannot update the policy ${path}: ${causes}`, {
    details: findings.map((finding) => `${formatFinding(path, finding)}; ${finding.remedy}`),
    hint,
  });
}

/** Judges a policy file's rules outside of the managed part, which they are to stand beside. */
export function lintOthers(parts: PolicyParts, managed: string): LintFinding[] {
  const findings = lintPolicy(withoutManaged(parts), { beside: managed });
  const known = new Set(findings.filter(({ rule }) => rule === 'syntax').map(({ line }) => line));
  return [...findings, ...seamFindings(parts, managed).filter(({ line }) => !known.has(line))];
}

/** Runs the self-test where an engine is at hand. @returns what was done, as a sentence. */
export async function tryBeforeWriting(
  text: string,
  images: readonly ImageRecord[],
  options: WritePolicyOptions,
): Promise<string> {
  const engine = findRegoEngine(options.opa);
  if (engine === undefined) return 'the policy was written without trying it: no "opa" is on PATH';
  const { minTcb, signal } = options;
  const cases = await selfTest(text, images, { engine, minTcb, signal });
  return `the policy was tried with ${cases} requests before it was written`;
}

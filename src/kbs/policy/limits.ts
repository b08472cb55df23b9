import type { LintFinding } from './lint/finding.ts';

/**
 * What the policy engine of key brokers from v0.21 on (regorus 0.11) reads at the most; a text beyond it is refused, or
 * denies every request where it was stored before. Older engines have no such limits.
 */
export const policyLimits = { bytes: 2 ** 20, lines: 20_000, columns: 1024 } as const;

/** One finding for each limit that a policy's text passes. */
export function limitFindings(text: string): LintFinding[] {
  const findings: LintFinding[] = [];
  const found = (line: number, message: string, remedy: string) =>
    findings.push({ severity: 'refuse', rule: 'too-large', line, column: 1, message, remedy });
  const fewer = 'retire images that are no longer used, or measure fewer vCPU counts (machine.vcpus)';
  const { bytes, lines, columns } = policyLimits;
  const size = Buffer.byteLength(text);
  if (size > bytes) found(1, `it has ${size} bytes, and newer key brokers read ${bytes} at the most`, fewer);
  const all = text.split('\n');
  if (all.length > lines) {
    found(1, `it has ${all.length} lines, and newer key brokers read ${lines} at the most`, fewer);
  }
  const long = all.findIndex((line) => line.length > columns);
  if (long >= 0) {
    const message = `this line has ${all[long]!.length} columns, and newer key brokers read ${columns} at the most`;
    found(long + 1, message, 'break the line');
  }
  return findings;
}

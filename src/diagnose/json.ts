import type { AttestationReport } from '../measure/attestation/index.ts';
import type { Assumptions, Difference } from './assumptions.ts';
import type { Diagnosis } from './diagnose.ts';
import { explain } from './explain.ts';
import type { ReportFinding } from './judge-report.ts';

/** All that a diagnosis comes to. */
export interface DiagnosisOutput {
  diagnosis: Diagnosis;
  report: AttestationReport | undefined;
  findings: readonly ReportFinding[];
  problems: readonly string[];
}

/**
 * One line of JSON in plain ASCII: what a host wrote cannot drive the terminal. Bytes are in hex, 64-bit numbers as
 * `0x…`, field and dimension names in snake_case.
 */
export function diagnosisJson({ diagnosis, report, findings, problems }: DiagnosisOutput): string {
  const { differences, ...rest } = diagnosis;
  const value = {
    ...rest,
    differences: differences.map((difference) => ({
      dimension: snakeCase(difference.dimension),
      expected: shown(difference, difference.expected),
      found: shown(difference, difference.found),
      ...explain(difference),
    })),
    findings,
    problems,
    report: report === undefined ? null : { ...report, signature: undefined, signature_verified: false },
  };
  return JSON.stringify(plain(value)).replaceAll(
    /[\u007f-\uffff]/g,
    (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}

/** A firmware's image is not for printing. */
function shown({ dimension }: Difference, value: Difference['expected' | 'found']): unknown {
  if (dimension !== 'firmware') return value;
  const { sha256, origin } = value as Assumptions['firmware'];
  return { sha256, origin };
}

function plain(value: unknown): unknown {
  if (typeof value === 'bigint') return `0x${value.toString(16)}`;
  if (Buffer.isBuffer(value)) return value.toString('hex');
  if (Array.isArray(value)) return value.map(plain);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([name, each]) => [snakeCase(name), plain(each)]));
}

function snakeCase(name: string): string {
  return name.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}

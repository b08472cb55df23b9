/** Is this bundle what was built and measured? Findings, each with what was expected and what was found. */
export type { Check, ExaminedBundle, Finding } from './finding.ts';
export { type AdminRecord, recordedFiles } from './record.ts';
export { type CheckedBundle, manifestOf, type VerifyOptions, verifyBundle } from './verify.ts';

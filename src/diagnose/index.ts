/** Why a launch digest is what it is: the smallest set of a bundle's assumptions that do not hold for it. */
export type { Assumptions, Difference, Dimension, Origin } from './assumptions.ts';
export { type BundleSources, bundleSources, diagnosedFiles } from './bundle-sources.ts';
export type { BlobFile, Sources } from './candidates.ts';
export { type DiagnoseInput, type Diagnosis, diagnose } from './diagnose.ts';
export { parseDigest } from './digest-text.ts';
export { type Explanation, explain } from './explain.ts';
export { type DiagnosisOutput, diagnosisJson } from './json.ts';
export { judgeReport, type ReportFinding } from './judge-report.ts';
export { type Offered, offeredSources } from './offered.ts';
export { reportFields } from './report-text.ts';
export type { Tried } from './search.ts';
export { readSubject } from './subject.ts';
export { diagnosisLines } from './summary.ts';

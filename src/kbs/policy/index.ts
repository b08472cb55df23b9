/** policy.rego: made from the registry, linted, tried, and cleared of an older builder's rules. */
export { type Adoption, adopt, planAdoption } from './adopt.ts';
export { digestEncodings, policyEntry } from './entry.ts';
export { formatFinding, type LintFinding } from './lint.ts';
export { lintFile } from './lint-file.ts';
export { composePolicy, type MinimumTcb, policyPath, type WrittenPolicy, writePolicy } from './policy.ts';
export { readPolicy } from './policy-file.ts';
export { findRegoEngine } from './rego-engine.ts';
export { tryPolicy } from './self-test.ts';

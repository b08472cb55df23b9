/** Looking into a finished bundle: its logs, what is sealed in it, what it holds. */
export { type FurtherOptions, furtherVerification } from './checks/index.ts';
export { type Inside, lookInside } from './inside.ts';
export { readKeyFile } from './key-file.ts';
export { causesText, type LoggedCode, loggedCodes } from './logs/causes.ts';
export { type Explanation, parseExplanations, readExplanations } from './logs/explanations.ts';
export { logLines } from './logs/lines.ts';
export { cyclonedx } from './sbom/cyclonedx.ts';
export { remarkOf } from './sbom/parts.ts';
export { spdx } from './sbom/spdx.ts';
export {
  type BundleSummary,
  type PackageSummary,
  type SummaryOptions,
  summarise,
} from './summary/summary.ts';

/** The configuration files: what they may say, and how a mistake in them is reported. */
export { type BuilderConfig, defaultBuilderConfig, parseBuilderConfig } from './builder-config.ts';
export { type CcConfig, type CcIssuer, parseCcConfig } from './cc-config.ts';
export type { Finding, Rule } from './check.ts';
export { federationRules, type KitFacts } from './federation-rules.ts';
export { attestsGpu, usesGpu } from './gpu.ts';
export { type PathContext, type ResolvedPath, resolveOutputPath, resolvePath } from './paths.ts';
export { formatProblem, type Problem } from './problem.ts';
export { type ProjectFile, parseProjectFile } from './project-file.ts';

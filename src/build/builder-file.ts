import { existsSync, statSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import {
  type BuilderConfig,
  defaultBuilderConfig,
  formatProblem,
  type PathContext,
  type Problem,
  parseBuilderConfig,
  resolveOutputPath,
  resolvePath,
} from '../config/index.ts';
import { exitStatus, hasCode, messageOf, UserError } from '../host/errors.ts';
import { readTextFile } from '../host/files.ts';
import { homeFolder } from '../host/home.ts';

/** The checkout this program runs from. */
export const projectRoot = fileURLToPath(new URL('../..', import.meta.url));

/** builder.yml, checked, and the folder that what it names may lie in. */
export interface BuilderFile {
  builder: BuilderConfig;
  builderFolder: string;
}

/**
 * Reads builder.yml: the named one, else the one beside cvm_build.sh, else what holds without.
 * @throws UserError with one `file:line:column: message` a line in its details.
 */
export async function readBuilderFile(named?: string): Promise<BuilderFile> {
  const file = findBuilderFile(named);
  if (file === undefined) return { builder: defaultBuilderConfig(), builderFolder: projectRoot };
  const { config, errors, warnings } = parseBuilderConfig(await readConfig(file), file);
  refuseProblems(errors, warnings);
  return { builder: config!, builderFolder: dirname(file) };
}

/** The file to read, undefined where there is none. */
export function findBuilderFile(named: string | undefined): string | undefined {
  if (named !== undefined) return resolve(named);
  const own = join(projectRoot, 'builder.yml');
  return existsSync(own) ? own : undefined;
}

/** The text of a configuration file. @throws UserError */
export async function readConfig(file: string): Promise<string> {
  try {
    return await readTextFile(file);
  } catch (error) {
    const cause = hasCode(error, 'ENOENT') ? 'there is no such file' : messageOf(error);
    throw new UserError(`cannot read ${file}: ${cause}`, { status: exitStatus.usage });
  }
}

/** Stops at errors. Warnings come along: an unknown key is often the very mistake. @throws UserError */
export function refuseProblems(errors: readonly Problem[], warnings: readonly Problem[]): void {
  if (errors.length === 0) return;
  throw new UserError('cannot use the configuration', {
    details: [
      ...errors.map(formatProblem),
      ...warnings.map((problem) => `${formatProblem(problem)} (warning)`),
    ],
    status: exitStatus.usage,
  });
}

export function pathContext(configDirectory: string): PathContext {
  return { workingDirectory: process.cwd(), configDirectory, home: homeFolder(), exists: existsSync };
}

/** Mode bits of a folder in which all accounts make files, and remove only their own. */
const everybodys = 0o1002;

/**
 * What relative paths of a cc_config in this folder are looked up against. A temporary folder of all accounts, such as the
 * /tmp in which FLARE hands over its copy, is no place for inputs: anybody could put a workload of his own there.
 */
export function siteContext(folder: string): PathContext {
  const mode = statSync(folder, { throwIfNoEntry: false })?.mode ?? 0;
  return pathContext((mode & everybodys) === everybodys ? process.cwd() : folder);
}

/** A path that must exist. @throws UserError */
export function existingPath(value: string, context: PathContext): string {
  const found = resolvePath(value, context);
  if ('path' in found) return found.path;
  throw new UserError(`cannot use ${JSON.stringify(value)}: ${found.problem}`, { status: exitStatus.usage });
}

/** A folder that need not exist yet. @throws UserError */
export function outputPath(value: string, context: PathContext): string {
  const found = resolveOutputPath(value, context);
  if ('path' in found) return found.path;
  throw new UserError(`cannot use the folder ${JSON.stringify(value)}: ${found.problem}`, {
    status: exitStatus.usage,
  });
}

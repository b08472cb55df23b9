import { join } from 'node:path';
import { cachedBase, type FoundFirmware, localFirmware } from '../base/index.ts';
import { baseRecipe } from '../build/base-recipe.ts';
import {
  type BuilderFile,
  findBuilderFile,
  outputPath,
  pathContext,
  projectRoot,
  readConfig,
} from '../build/builder-file.ts';
import { defaultBuilderConfig, formatProblem, parseBuilderConfig } from '../config/index.ts';
import { type Cache, defaultCacheRoot, openCache } from '../graph/cache.ts';
import { messageOf } from '../host/errors.ts';
import { isFolder } from '../host/folders.ts';
import type { Step } from '../host/tools.ts';

/** What the checks are about: the settings of this machine's builder, and what it has made already. */
export interface Situation extends BuilderFile {
  /** builder.yml; undefined where there is none. */
  file: string | undefined;
  /** What is wrong with it, `file:line:column: message` a line. The settings are the defaults then. */
  errors: readonly string[];
  warnings: readonly string[];
  /** Ask nobody over the network. */
  offline: boolean;
  isRoot: boolean;
  cacheRoot: string;
  /** Folder that gets `target/` and `handoff/`. */
  outputFolder: string;
  baseImages: string;
  binaries: string;
  /** A base that the next build takes as it is; where it came from. */
  base(): Promise<{ origin: string; builtAt: string } | undefined>;
  firmware(): Promise<FoundFirmware | undefined>;
  /** What a build on this machine will have to do. */
  stepsAhead(): Promise<ReadonlySet<Step>>;
}

export interface SituationOptions {
  /** builder.yml; the one beside cvm_build.sh unless named. */
  config?: string | undefined;
  offline?: boolean;
}

/**
 * Reads builder.yml, as a build would, without stopping at its mistakes.
 * @throws UserError where the named file cannot be read.
 */
export async function lookAround({ config, offline = false }: SituationOptions): Promise<Situation> {
  const file = findBuilderFile(config);
  const text = file === undefined ? undefined : await readConfig(file);
  const read = text === undefined ? noFile() : parsed(text, file!);
  const { builder } = read;
  const here = pathContext(process.cwd());
  const folder = (value: string | undefined, otherwise: string) => {
    if (value === undefined) return otherwise;
    try {
      return outputPath(value, here);
    } catch (error) {
      read.errors.push(messageOf(error));
      return otherwise;
    }
  };
  const cacheRoot = folder(builder.cache, defaultCacheRoot());
  const baseImages = join(projectRoot, 'base_images');

  const base = once(async () => {
    const cache = await untouched(cacheRoot);
    return cachedBase(cache, baseRecipe(builder)).catch(() => undefined);
  });
  const firmware = once(async () =>
    localFirmware({ cache: await untouched(cacheRoot), baseImages }).catch(() => undefined),
  );
  const stepsAhead = once(async () => {
    const ahead: Step[] = ['build'];
    if ((await base()) === undefined) ahead.push(builder.base.image === undefined ? 'base' : 'import');
    if ((await firmware()) === undefined) ahead.push('firmware');
    if (builder.kbs.url === undefined) ahead.push('development');
    return new Set(ahead);
  });
  return {
    ...read,
    file,
    builderFolder: file === undefined ? projectRoot : join(file, '..'),
    offline,
    isRoot: process.getuid?.() === 0,
    cacheRoot,
    outputFolder: folder(builder.output, process.cwd()),
    baseImages,
    binaries: join(projectRoot, 'binaries'),
    base,
    firmware,
    stepsAhead,
  };
}

/** The cache for a look into it: one that nobody has made yet is not made for that. */
async function untouched(root: string): Promise<Cache> {
  const cache = openCache(root);
  return (await isFolder(root)) ? cache : { ...cache, lookup: async () => undefined };
}

function noFile() {
  return { builder: defaultBuilderConfig(), errors: [] as string[], warnings: [] as string[] };
}

function parsed(text: string, file: string): ReturnType<typeof noFile> {
  const { config, errors, warnings } = parseBuilderConfig(text, file);
  return {
    builder: config ?? defaultBuilderConfig(),
    errors: errors.map(formatProblem),
    warnings: warnings.map(formatProblem),
  };
}

function once<Value>(make: () => Promise<Value>): () => Promise<Value> {
  let made: Promise<Value> | undefined;
  return () => (made ??= make());
}

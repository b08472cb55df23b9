import { basename, dirname, join, resolve } from 'node:path';
import {
  type BuilderConfig,
  type CcConfig,
  defaultBuilderConfig,
  type Finding,
  formatProblem,
  type PathContext,
  parseBuilderConfig,
  parseCcConfig,
  type Rule,
  resolvePath,
} from '../config/index.ts';
import { defaultCacheRoot } from '../graph/cache.ts';
import { exitStatus, UserError } from '../host/errors.ts';
import {
  existingPath,
  findBuilderFile,
  outputPath,
  pathContext,
  projectRoot,
  readBuilderFile,
  readConfig,
  refuseProblems,
  siteContext,
} from './builder-file.ts';
import { agreesWithTheKit } from './federation.ts';
import type { ReplacementPlaces } from './rebuild/places.ts';
import { type BuilderValues, imageValues } from './record/builder-values.ts';

/** What the command line says about a build. */
export interface BuildRequest {
  /** The site's cc_config file. */
  configFile: string;
  /** builder.yml; the one beside cvm_build.sh unless named. */
  builderFile?: string | undefined;
  development: boolean;
  /** Name of the bundle. */
  name?: string | undefined;
  /** Startup kit, absolute: takes the place of `user_config.nvflare`, as FLARE puts it there. */
  startupKit?: string | undefined;
  /** FLARE project, where the kit's path does not tell it. */
  project?: string | undefined;
  /** Folder that gets `target/` and `handoff/`. */
  output?: string | undefined;
  keepPrevious?: boolean | undefined;
  /** Build the base anew, with the packages of today. */
  refreshBase?: boolean | undefined;
  /** SHA-256 of firmware that is taken although its verdict is not "sound". */
  acceptFirmware?: readonly string[] | undefined;
}

/** Everything a build needs to know, checked, every path absolute. */
export interface BuildSettings {
  kind: 'production' | 'development';
  site: CcConfig;
  builder: BuilderConfig;
  name: string;
  project: string | undefined;
  dockerArchive: string;
  /** Folder by name below /user_config. */
  userConfig: Readonly<Record<string, string>>;
  /** Where bundles go: `target/`. */
  targetFolder: string;
  /** What stays with the administrator: `handoff/`, never inside the target folder. */
  handoffFolder: string;
  /** Folder that holds builder.yml: what it names may lie there. */
  builderFolder: string;
  cacheRoot: string;
  baseImages: string;
  binaries: string;
  keepPrevious: boolean;
  refreshBase: boolean;
  /** Make the parts of the initrd that sites share anew. */
  refreshInitrd?: boolean;
  acceptFirmware: readonly string[];
  warnings: string[];
  /** What was read, for the build record. */
  read: ReadFiles;
  /** Programs that take the place of those in `binaries`. */
  programs?: { 'kbs-client'?: string | undefined; snpguest?: string | undefined };
  /** Firmware that takes the place of what a build finds. */
  firmwareFile?: string | undefined;
  /** The image that this one takes the place of. */
  replaces?: ReplacedImage | undefined;
}

/** The configuration as it was read. */
export interface ReadFiles {
  /** Absolute path, and the whole text. */
  ccConfig: { path: string; text: string };
  /** Absolute path; undefined where there is none. */
  builderFile: string | undefined;
  /** What the file says of the image, before anything took the place of it. */
  builderValues: BuilderValues;
}

/** An earlier image that is built again. */
export interface ReplacedImage {
  id: string;
  /** Where the new image keeps the id of the old one: where it is made, and the resource path of its key. */
  keepId?: { places: ReplacementPlaces; resource: string } | undefined;
}

/**
 * Reads both configuration files and resolves what they name. All problems are reported at once.
 * @throws UserError with one `file:line:column: message` a line in its details.
 */
export async function loadSettings(request: BuildRequest): Promise<BuildSettings> {
  const file = resolve(request.configFile);
  const builderFile = findBuilderFile(request.builderFile);
  const context = siteContext(dirname(file));
  const text = await readConfig(file);
  const site = parseCcConfig(text, request.configFile, [
    namesExistingFiles(context, request.startupKit),
    agreesWithTheKit(context, request.startupKit),
  ]);
  const builder =
    builderFile === undefined
      ? { config: defaultBuilderConfig(), errors: [], warnings: [] }
      : parseBuilderConfig(await readConfig(builderFile), builderFile);
  refuseProblems([...site.errors, ...builder.errors], [...site.warnings, ...builder.warnings]);
  const { config } = site as { config: CcConfig };
  const admin = builder.config as BuilderConfig;
  const named = { ...config.userConfig, ...(request.startupKit && { nvflare: request.startupKit }) };
  const userConfig = Object.fromEntries(
    Object.entries(named).map(([key, folder]) => [key, existingPath(folder, context)]),
  );

  const output = outputPath(request.output ?? admin.output ?? '.', context);
  const kit = userConfig.nvflare;
  return {
    kind: request.development ? 'development' : 'production',
    site: config,
    builder: admin,
    name: bundleName(request.name ?? (kit === undefined ? undefined : basename(kit)) ?? siteOfFile(file)),
    project: request.project ?? (kit === undefined ? undefined : projectOfKit(kit)),
    dockerArchive: existingPath(config.dockerArchive, context),
    userConfig,
    targetFolder: join(output, 'target'),
    handoffFolder: join(output, 'handoff'),
    builderFolder: builderFile === undefined ? projectRoot : dirname(builderFile),
    cacheRoot: admin.cache === undefined ? defaultCacheRoot() : outputPath(admin.cache, context),
    baseImages: join(projectRoot, 'base_images'),
    binaries: join(projectRoot, 'binaries'),
    keepPrevious: request.keepPrevious ?? false,
    refreshBase: request.refreshBase ?? false,
    acceptFirmware: [...admin.acceptFirmware, ...(request.acceptFirmware ?? [])],
    warnings: [...site.warnings, ...builder.warnings].map(formatProblem),
    read: { ccConfig: { path: file, text }, builderFile, builderValues: imageValues(admin) },
  };
}

/** What `docker_archive` and `user_config` name must be there; what a given startup kit takes the place of need not. */
function namesExistingFiles(context: PathContext, startupKit: string | undefined): Rule {
  const finding = (path: Finding['path'], value: unknown): Finding[] => {
    const found = typeof value === 'string' ? resolvePath(value, context) : undefined;
    if (found === undefined || 'path' in found) return [];
    return [{ path, message: `${path.join('.')} is ${JSON.stringify(value)}: ${found.problem}` }];
  };
  return ({ docker_archive, user_config }) => [
    ...finding(['docker_archive'], docker_archive),
    ...Object.entries(user_config !== null && typeof user_config === 'object' ? user_config : {})
      .filter(([key]) => startupKit === undefined || key !== 'nvflare')
      .flatMap(([key, folder]) => finding(['user_config', key], folder)),
  ];
}

/** A bundle's name becomes a file name in the line FLARE reads, which may hold no blanks. */
export function bundleName(wanted: string): string {
  const name = wanted.replaceAll(/[^A-Za-z0-9._@+-]+/g, '_').replace(/^[^A-Za-z0-9]+/, '');
  if (name === '') {
    throw new UserError(`cannot name the bundle ${JSON.stringify(wanted)}: no letter or digit is left`, {
      hint: 'give one with --name',
      status: exitStatus.usage,
    });
  }
  return name.slice(0, 100);
}

/** FLARE keeps kits at `<workspace>/<project>/prod_NN/<site>`. */
export function projectOfKit(folder: string): string | undefined {
  return /\/([^/]+)\/prod_\d+\/[^/]+\/?$/.exec(folder)?.[1];
}

/** `cc_site-1.yml` -> `site-1`. */
function siteOfFile(file: string): string {
  return basename(file)
    .replace(/\.ya?ml$/i, '')
    .replace(/^cc_/, '');
}

/** The cache folder that builder.yml names, or the default. */
export async function cacheRoot(builderFile?: string): Promise<string> {
  const { cache } = (await readBuilderFile(builderFile)).builder;
  return cache === undefined ? defaultCacheRoot() : outputPath(cache, pathContext(process.cwd()));
}

import { existsSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import {
  type BuilderConfig,
  type CcConfig,
  defaultBuilderConfig,
  formatProblem,
  parseBuilderConfig,
  parseCcConfig,
} from '../../config/index.ts';
import { defaultCacheRoot } from '../../graph/cache.ts';
import { exitStatus, UserError } from '../../host/errors.ts';
import {
  existingPath,
  findBuilderFile,
  outputPath,
  pathContext,
  projectRoot,
  readConfig,
  refuseProblems,
  siteContext,
} from '../builder-file.ts';
import { imageValues } from '../record/builder-values.ts';
import type { BuildRecord } from '../record/schema.ts';
import type { BuildSettings } from '../settings.ts';
import type { Choice } from './inputs.ts';

export interface RebuildRequest extends Choice {
  record: BuildRecord;
  /** `handoff/` that holds the record's folder; `target/` lies beside it. */
  handoffFolder: string;
  keepPrevious: boolean;
  refreshBase: boolean;
  acceptFirmware: readonly string[];
}

/**
 * The settings of a build of the same image: from the record, but for what was chosen otherwise. The key broker's credentials,
 * the policy directory and the cache are builder.yml's of today.
 * @throws UserError where builder.yml has gone, or a chosen file is not there or cannot be used.
 */
export async function rebuildSettings(request: RebuildRequest): Promise<BuildSettings> {
  const { record, given, fresh } = request;
  const { inputs } = record;
  const builderFile = builderFileOf(request);
  const builder =
    builderFile === undefined
      ? { config: defaultBuilderConfig(), errors: [], warnings: [] }
      : parseBuilderConfig(await readConfig(builderFile), builderFile);
  const ccConfig = await ccConfigOf(request);
  const site = parseCcConfig(ccConfig.text, ccConfig.path);
  refuseProblems([...site.errors, ...builder.errors], [...site.warnings, ...builder.warnings]);
  const admin = builder.config as BuilderConfig;
  const chosen = (name: keyof typeof given) =>
    given[name] === undefined ? undefined : existing(given[name]);
  const image = chosen('base') ?? (fresh.has('base') ? undefined : inputs.base.image);
  const firmware = chosen('firmware') ?? (fresh.has('firmware') ? undefined : inputs.firmware.path);
  const program = (name: 'kbs-client' | 'snpguest', recorded: { path: string } | undefined) =>
    chosen(name) ?? (fresh.has(name) ? undefined : recorded?.path);
  const accepted = inputs.firmware.accepted ? [inputs.firmware.sha256] : [];
  return {
    kind: record.kind,
    site: site.config as CcConfig,
    builder: image === undefined ? admin : { ...admin, base: { ...admin.base, image } },
    name: record.name,
    project: record.project,
    ...pathsOf(request, site.config as CcConfig, ccConfig),
    targetFolder: join(dirname(request.handoffFolder), 'target'),
    handoffFolder: request.handoffFolder,
    builderFolder: builderFile === undefined ? projectRoot : dirname(builderFile),
    cacheRoot:
      admin.cache === undefined ? defaultCacheRoot() : outputPath(admin.cache, pathContext(process.cwd())),
    baseImages: join(projectRoot, 'base_images'),
    binaries: join(projectRoot, 'binaries'),
    keepPrevious: request.keepPrevious,
    refreshBase: request.refreshBase,
    refreshInitrd: fresh.has('initrd'),
    acceptFirmware: [...admin.acceptFirmware, ...accepted, ...request.acceptFirmware],
    warnings: [...site.warnings, ...builder.warnings].map(formatProblem),
    read: { ccConfig, builderFile, builderValues: imageValues(admin) },
    programs: {
      'kbs-client': program('kbs-client', inputs.kbs_client),
      snpguest: program('snpguest', inputs.snpguest),
    },
    firmwareFile: firmware,
    replaces: { id: record.id },
  };
}

function builderFileOf({ record, given, fresh }: RebuildRequest): string | undefined {
  if (given.builder !== undefined) return existing(given.builder);
  const { path } = record.builder;
  if (path === undefined || existsSync(path)) return path ?? findBuilderFile(undefined);
  if (fresh.has('builder')) return findBuilderFile(undefined);
  throw new UserError(`cannot rebuild ${record.id}: ${path}, the settings of its builder, has gone`, {
    hint: 'name the present one with --config, or take the one beside cvm_build.sh with --fresh builder',
    status: exitStatus.usage,
  });
}

/** The text in the record, unless another was chosen: FLARE removes the file it was read from. */
async function ccConfigOf({ record, given, fresh }: RebuildRequest): Promise<{ path: string; text: string }> {
  const path = given['cc-config'] ?? (fresh.has('cc-config') ? record.cc_config.path : undefined);
  if (path === undefined) return record.cc_config;
  return { path: resolve(path), text: await readConfig(resolve(path)) };
}

/**
 * Archive and kit. With a cc_config other than the recorded one its own paths hold; but FLARE's startup kit, which FLARE adds to
 * the file it hands over, stays where the file has none.
 */
function pathsOf(
  { record, given }: RebuildRequest,
  site: CcConfig,
  read: { path: string; text: string },
): Pick<BuildSettings, 'dockerArchive' | 'userConfig'> {
  const { docker_archive, user_config } = record.inputs;
  const asRecorded = read.text === record.cc_config.text;
  const context = siteContext(dirname(read.path));
  const archive = given['docker-archive'];
  const kit = given['startup-kit'];
  const kept = user_config.folders.nvflare;
  const folders = asRecorded
    ? user_config.folders
    : {
        ...(kept === undefined ? {} : { nvflare: kept }),
        ...Object.fromEntries(
          Object.entries(site.userConfig).map(([key, folder]) => [key, existingPath(folder, context)]),
        ),
      };
  return {
    dockerArchive:
      archive !== undefined
        ? existing(archive)
        : asRecorded
          ? docker_archive.path
          : existingPath(site.dockerArchive, context),
    userConfig: kit === undefined ? folders : { ...folders, nvflare: existing(kit) },
  };
}

function existing(path: string): string {
  return existingPath(path, pathContext(process.cwd()));
}

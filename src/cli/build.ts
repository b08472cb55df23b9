import { dirname } from 'node:path';
import { printedPath } from '../build/printed-path.ts';
import { type BuildRequest, loadSettings } from '../build/settings.ts';
import { build, buildOptions } from '../build.ts';
import { handleSignals } from '../host/signals.ts';
import { renderPlan } from '../report/plan.ts';
import { openReport } from '../report/report.ts';
import { buildSitesCommand, isProjectFile } from './build-sites.ts';
import { reportBuilt } from './built.ts';

export interface BuildFlags {
  dev?: boolean;
  name?: string;
  project?: string;
  config?: string;
  output?: string;
  keepPrevious?: boolean;
  refreshBase?: boolean;
  acceptFirmware?: string[];
  plan?: boolean;
  /** Of several sites. */
  kits?: string;
  jobs?: string;
  anew?: boolean;
}

/** `cvm build`: one site, or, of several files or a project.yml, many. */
export async function buildCommand(files: readonly string[], flags: BuildFlags): Promise<void> {
  const [configFile, ...more] = files;
  if (configFile === undefined || more.length > 0 || isProjectFile(flags.project)) {
    await buildSitesCommand(files, flags, commonOf(flags));
  } else {
    await buildOne(configFile, flags);
  }
}

async function buildOne(configFile: string, flags: BuildFlags): Promise<void> {
  using interruption = handleSignals();
  const report = await openReport();
  try {
    const settings = await loadSettings({ ...commonOf(flags), configFile, name: flags.name });
    for (const warning of settings.warnings) report.warn(warning);
    const targets = await build.targetsOf(settings);
    const request = { options: buildOptions(settings), targets, signal: interruption.signal };
    if (flags.plan) {
      await report.result(renderPlan(await build.graph.plan(request)).trimEnd());
      return;
    }
    // Where the bundle could not be named at the end, nothing is begun.
    await printedPath(dirname(settings.targetFolder));
    const { result } = await build.graph.run({ ...request, events: report.events });
    await reportBuilt(report, result);
  } catch (error) {
    process.exitCode = await report.fail(error);
  }
}

/** What the command line says about a build, whichever site it is of. */
function commonOf(flags: BuildFlags): Omit<BuildRequest, 'configFile'> {
  return {
    builderFile: flags.config,
    development: flags.dev ?? false,
    project: flags.project,
    output: flags.output,
    keepPrevious: flags.keepPrevious,
    refreshBase: flags.refreshBase,
    acceptFirmware: flags.acceptFirmware?.map((digest) => digest.toLowerCase()),
  };
}

import { dirname } from 'node:path';
import { printedPath } from '../build/printed-path.ts';
import { loadSettings } from '../build/settings.ts';
import { build, buildOptions } from '../build.ts';
import { handleSignals } from '../host/signals.ts';
import { renderPlan } from '../report/plan.ts';
import { openReport } from '../report/report.ts';
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
}

/** `cvm build`. */
export async function buildCommand(configFile: string, flags: BuildFlags): Promise<void> {
  using interruption = handleSignals();
  const report = await openReport();
  try {
    const settings = await loadSettings({
      configFile,
      builderFile: flags.config,
      development: flags.dev ?? false,
      name: flags.name,
      project: flags.project,
      output: flags.output,
      keepPrevious: flags.keepPrevious,
      refreshBase: flags.refreshBase,
      acceptFirmware: flags.acceptFirmware?.map((digest) => digest.toLowerCase()),
    });
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

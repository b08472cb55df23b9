import { loadSettings } from '../build/settings.ts';
import { build, buildOptions } from '../build.ts';
import { handleSignals } from '../host/signals.ts';
import { renderPlan } from '../report/plan.ts';
import { openReport } from '../report/report.ts';

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

/** `cvm build`: ends with the line that FLARE looks for, exactly once and only when all went well. */
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
    const { result } = await build.graph.run({ ...request, events: report.events });
    const { manifest, handoff, policyFile } = result;
    const counts = manifest.launch.vcpus.join(', ');
    report.note(`${manifest.kind} bundle ${manifest.id} of ${manifest.name}: ${result.folder}`);
    report.note(
      `launch digests for ${counts} vCPUs of ${manifest.launch.cpu}, firmware ${manifest.firmware.verdict}`,
    );
    if (manifest.firmware.accepted) {
      report.note(
        `firmware ${manifest.firmware.sha256} is used at the administrator's word (accept_firmware)`,
      );
    }
    report.note(`key and reference values: ${handoff}`);
    report.note(`policy: ${policyFile}`);
    if (manifest.kind === 'development') report.note(`try it: cvm boot ${result.folder}`);
    await report.result(`CVM Bundle ${result.archive} is ready`);
  } catch (error) {
    process.exitCode = await report.fail(error);
  }
}

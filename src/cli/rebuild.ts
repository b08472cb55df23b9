import { dirname, join } from 'node:path';
import packageJson from '../../package.json' with { type: 'json' };
import { outputPath, pathContext, readBuilderFile } from '../build/builder-file.ts';
import { printedPath } from '../build/printed-path.ts';
import { beginRebuild, keptId } from '../build/rebuild/begin.ts';
import { compareInputs, type InputState, refuseUnasked } from '../build/rebuild/compare.ts';
import { type FoundRecord, findBuildRecord } from '../build/rebuild/find.ts';
import { type Choice, type InputName, inputNames } from '../build/rebuild/inputs.ts';
import { type PartRow, partRows } from '../build/rebuild/parts.ts';
import { keyBrokerChange } from '../build/rebuild/replace-image.ts';
import { rebuildSettings } from '../build/rebuild/settings.ts';
import { build, buildOptions } from '../build.ts';
import { exitStatus, UserError } from '../host/errors.ts';
import { handleSignals } from '../host/signals.ts';
import { renderPlan } from '../report/plan.ts';
import { openReport, type Report } from '../report/report.ts';
import { reportBuilt } from './built.ts';
import { table } from './policy/table.ts';

export interface RebuildFlags {
  config?: string;
  handoff?: string;
  dockerArchive?: string;
  startupKit?: string;
  ccConfig?: string;
  kbsClient?: string;
  snpguest?: string;
  firmware?: string;
  base?: string;
  fresh?: string[];
  refreshBase?: boolean;
  keepId?: boolean;
  keepPrevious?: boolean;
  acceptFirmware?: string[];
  plan?: boolean;
}

/** `cvm rebuild ID|BUNDLE`: builds an image again from its record, with what was chosen to be another. */
export async function rebuildCommand(named: string, flags: RebuildFlags): Promise<void> {
  using interruption = handleSignals();
  const { signal } = interruption;
  const report = await openReport();
  try {
    const choice = choiceOf(flags);
    const find = async () => {
      const output = await outputFolder(flags.config);
      const found = await findBuildRecord(named, { handoff: flags.handoff, output });
      return { ...found, settings: await settingsOf(found, choice, flags) };
    };
    let found = await find();
    await using turn = flags.plan ? undefined : await beginRebuild(found.settings, found.record.id, signal);
    if (turn?.earlier !== undefined) {
      report.note(`an interrupted rebuild of ${found.record.id} was ${turn.earlier}`);
      found = await find();
    }
    const { record, settings } = found;
    if (flags.keepId) settings.replaces = { id: record.id, keepId: await keptId(settings, record.id) };
    for (const warning of settings.warnings) report.warn(warning);
    const options = buildOptions(settings);
    const states = await compareInputs({ record, settings, choice, cache: options.cache, signal });
    const kept = settings.replaces?.keepId;
    const rows = partRows(states, {
      keepId: kept && { keyBroker: await keyBrokerChange(settings, record.id, kept.resource) },
      builderBefore: record.builder_version,
      builderNow: packageJson.version,
    });
    const request = { options, targets: await build.targetsOf(settings), signal };
    if (flags.plan) {
      const refusal = refusalOf(record.id, states);
      if (refusal !== undefined) {
        process.stdout.write(`${inputsText(states)}\n`);
        throw refusal;
      }
      const tasks = renderPlan(await build.graph.plan(request)).trimEnd();
      await report.result([inputsText(states), partsText(rows), tasks].join('\n'));
      return;
    }
    refuseUnasked(record.id, states);
    await printedPath(dirname(settings.targetFolder));
    tellChanges(report, found, states, rows);
    const { result } = await build.graph.run({ ...request, events: report.events });
    await reportBuilt(report, result);
  } catch (error) {
    process.exitCode = await report.fail(error);
  }
}

/** @throws UserError for options that contradict each other, and for names that there are not. */
export function choiceOf(flags: RebuildFlags): Choice {
  const given = {
    'cc-config': flags.ccConfig,
    builder: flags.config,
    'docker-archive': flags.dockerArchive,
    'startup-kit': flags.startupKit,
    'kbs-client': flags.kbsClient,
    snpguest: flags.snpguest,
    firmware: flags.firmware,
    base: flags.base,
  };
  const wanted = (flags.fresh ?? []).flatMap((text) => text.split(','));
  const unknown = wanted.find((name) => name !== 'all' && !inputNames.includes(name as InputName));
  if (unknown !== undefined) {
    throw new UserError(`cannot use --fresh ${JSON.stringify(unknown)}: there is no such input`, {
      hint: `one of ${inputNames.join(', ')}, or all`,
      status: exitStatus.usage,
    });
  }
  const fresh = new Set(wanted.includes('all') ? inputNames : (wanted as InputName[]));
  if (flags.refreshBase) fresh.add('base');
  if (flags.keepId && flags.keepPrevious) {
    throw new UserError('cannot use --keep-id with --keep-previous: an id has one image', {
      status: exitStatus.usage,
    });
  }
  return { given, fresh };
}

function settingsOf({ record, handoffFolder }: FoundRecord, choice: Choice, flags: RebuildFlags) {
  return rebuildSettings({
    record,
    handoffFolder,
    ...choice,
    keepPrevious: flags.keepPrevious ?? false,
    refreshBase: flags.refreshBase ?? false,
    acceptFirmware: flags.acceptFirmware?.map((digest) => digest.toLowerCase()) ?? [],
  });
}

async function outputFolder(builderFile: string | undefined): Promise<string> {
  const { builder } = await readBuilderFile(builderFile);
  return join(outputPath(builder.output ?? '.', pathContext(process.cwd())));
}

function refusalOf(id: string, states: readonly InputState[]): unknown {
  try {
    refuseUnasked(id, states);
    return undefined;
  } catch (error) {
    return error;
  }
}

function inputsText(states: readonly InputState[]): string {
  return table([['INPUT', 'STATE', ''], ...states.map(({ name, state, detail }) => [name, state, detail])]);
}

function partsText(rows: readonly PartRow[]): string {
  return table([['PART', '', 'WHY'], ...rows.map(({ part, fate, why }) => [part, fate, why])]);
}

/** The same in few lines, before anything is done. */
function tellChanges(
  report: Report,
  { record }: FoundRecord,
  states: readonly InputState[],
  rows: readonly PartRow[],
): void {
  report.note(`rebuild of ${record.id} (${record.name}), built ${record.created}`);
  for (const { name, state, detail } of states) if (state === 'new') report.note(`${name}: ${detail}`);
  const reused = rows.filter(({ fate }) => fate === 'reused').map(({ part }) => part);
  report.note(`reused: ${reused.length === 0 ? 'nothing' : reused.join(', ')}`);
}

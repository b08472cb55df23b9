import type { BuildRequest } from '../build/settings.ts';
import { openCache } from '../graph/cache.ts';
import { exitStatus, UserError } from '../host/errors.ts';
import { handleSignals } from '../host/signals.ts';
import {
  buildSites,
  type ProjectSite,
  type SiteOutcome,
  type Standing,
  sitesOfFiles,
  sitesOfProject,
  standingsOf,
} from '../project/index.ts';
import { openReport, type Report } from '../report/report.ts';
import { duration } from '../report/text.ts';
import { wholeNumber } from './arguments.ts';
import type { BuildFlags } from './build.ts';
import { table } from './policy/table.ts';

/** `cvm build` of several files, or of a FLARE project: one run, one table. */
export async function buildSitesCommand(
  files: readonly string[],
  flags: BuildFlags,
  common: Omit<BuildRequest, 'configFile'>,
): Promise<void> {
  using interruption = handleSignals();
  const { signal } = interruption;
  const report = await openReport();
  try {
    const jobs = flags.jobs === undefined ? undefined : wholeNumber('--jobs', flags.jobs);
    const sites = await sitesOf(files, flags, common);
    const warnings = new Set(sites.flatMap(({ settings }) => settings.warnings));
    for (const warning of warnings) report.warn(warning);
    const cache = openCache(sites[0]!.settings.cacheRoot);
    const told = { signal, events: report.events, note: report.note, warn: report.warn };
    const standings = flags.anew ? anew(sites) : await standingsOf(sites, { cache, ...told });
    if (flags.plan) {
      await report.result(planTable(standings).trimEnd());
      return;
    }
    for (const [site, standing] of standings) {
      if (standing.state === 'to build') report.note(`${site.name} is to be built: ${standing.why}`);
    }
    const outcomes = await buildSites(standings, { cache, jobs, ...told });
    process.exitCode = await summarise(report, outcomes, signal);
  } catch (error) {
    process.exitCode = await report.fail(error);
  }
}

function sitesOf(
  files: readonly string[],
  flags: BuildFlags,
  common: Omit<BuildRequest, 'configFile'>,
): Promise<ProjectSite[]> {
  const cannot = (cause: string, hint: string) =>
    new UserError(`cannot build: ${cause}`, { hint, status: exitStatus.usage });
  const project = isProjectFile(flags.project) ? flags.project : undefined;
  if (flags.name !== undefined) {
    throw cannot('--name names one bundle', 'sites are named after their startup kits, or after their files');
  }
  if (project === undefined) {
    if (flags.kits !== undefined)
      throw cannot('--kits needs a project', 'give --project project.yml as well');
    if (files.length === 0) {
      throw cannot(
        'no site is given',
        'name a cc_config file, several, or a project with --project project.yml',
      );
    }
    return sitesOfFiles(files, common);
  }
  if (files.length > 0) throw cannot('both a project and files are given', 'give either');
  return sitesOfProject(project, common, flags.kits);
}

/** `--project` names FLARE's file or, of sites whose kit's path does not tell it, the project itself. */
export function isProjectFile(project: string | undefined): project is string {
  return project !== undefined && /\.ya?ml$/i.test(project);
}

function anew(sites: readonly ProjectSite[]): Map<ProjectSite, Standing> {
  return new Map(sites.map((site) => [site, { state: 'to build', why: '--anew' }]));
}

function planTable(standings: ReadonlyMap<ProjectSite, Standing>): string {
  const rows = [...standings].map(([{ name }, standing]) =>
    standing.state === 'complete'
      ? [name, standing.id, standing.toPush ? 'complete, to be pushed' : 'complete', standing.archive]
      : [name, '-', 'to be built', standing.why],
  );
  return table([['SITE', 'ID', 'STATE', ''], ...rows]);
}

/** The table on standard output, what failed in full on standard error. @returns the status to exit with */
async function summarise(
  report: Report,
  outcomes: ReadonlyMap<ProjectSite, SiteOutcome>,
  signal: AbortSignal,
): Promise<number> {
  const failures = Map.groupBy(
    [...outcomes].flatMap(([{ name }, outcome]) =>
      outcome.state === 'failed' ? [{ name, ...outcome }] : [],
    ),
    ({ error }) => (error instanceof Error ? error.message : String(error)),
  );
  const errors = [...failures.values()].map((group) => ({
    heading: group.map(({ name }) => name).join(', '),
    error: group[0]!.error,
  }));
  const interruption = [...outcomes.values()].some(({ state }) => state === 'stopped')
    ? signal.reason
    : undefined;
  if (interruption !== undefined) errors.push({ heading: '', error: interruption });
  const rows = [...outcomes].map(([{ name }, outcome]) => [name, ...cellsOf(outcome)]);
  const text = table([['SITE', 'ID', 'STATE', 'TIME', 'BUNDLE'], ...rows]);
  await report.summary(`${text}${countsText([...outcomes.values()])}`, errors);
  if (interruption instanceof UserError) return interruption.status;
  return errors.length === 0 ? exitStatus.ok : exitStatus.failed;
}

function cellsOf(outcome: SiteOutcome): string[] {
  const { state } = outcome;
  const time = 'seconds' in outcome && outcome.seconds !== undefined ? duration(outcome.seconds) : '-';
  if (state === 'failed') {
    const { error } = outcome;
    return ['-', state, time, error instanceof Error ? error.message : String(error)];
  }
  return state === 'stopped' ? ['-', state, time, '-'] : [outcome.id, state, time, outcome.archive];
}

function countsText(outcomes: readonly SiteOutcome[]): string {
  const count = (...states: SiteOutcome['state'][]) =>
    outcomes.filter(({ state }) => states.includes(state)).length;
  const parts = [
    `${count('built', 'complete', 'pushed')} of ${outcomes.length} sites are complete`,
    `${count('built')} built now`,
    `${count('failed')} failed`,
    ...(count('stopped') > 0 ? [`${count('stopped')} stopped`] : []),
  ];
  return parts.join(', ');
}

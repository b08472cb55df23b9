import { availableParallelism } from 'node:os';
import { kitText } from '../build/kit.ts';
import { pushBuilt } from '../build/push-built.ts';
import { build } from '../build.ts';
import type { Cache } from '../graph/cache.ts';
import type { Listener } from '../graph/events.ts';
import { runPool } from './pool.ts';
import { roomFor, sitesAtOnce } from './room.ts';
import { prepareShared, type SharedParts } from './shared.ts';
import type { ProjectSite } from './site.ts';
import { SiteEvents } from './site-events.ts';
import type { Standing } from './standing.ts';

/** What became of a site. */
export type SiteOutcome =
  | { state: 'built'; id: string; archive: string; seconds: number }
  /** It was complete already; `pushed`: its key was still to be brought to the key broker. */
  | { state: 'complete' | 'pushed'; id: string; archive: string }
  | { state: 'failed'; error: unknown; seconds?: number }
  /** The run was interrupted before it was done. */
  | { state: 'stopped' };

export interface BuildSitesOptions {
  cache: Cache;
  /** Sites at once; as many as there are processors unless told otherwise, and never more than there is room for. */
  jobs?: number | undefined;
  signal: AbortSignal;
  events: Listener;
  note: (text: string) => void;
  warn: (text: string) => void;
}

interface ReadySite {
  site: ProjectSite;
  parts: SharedParts;
}

/**
 * Builds those of the sites that are not complete. What they share is made once; then each has a build of its own, with its own id, key and work
 * files, so that a failure is one site's alone. An interruption ends it without an error: the outcomes tell.
 * @throws UserError where the machine has no room for all of them, before any is begun
 */
export async function buildSites(
  standings: ReadonlyMap<ProjectSite, Standing>,
  options: BuildSitesOptions,
): Promise<ReadonlyMap<ProjectSite, SiteOutcome>> {
  const outcomes = new Map<ProjectSite, SiteOutcome>();
  for (const [site, standing] of standings) {
    const isDone = standing.state === 'complete' && !standing.toPush;
    outcomes.set(site, isDone ? completeAs('complete', standing) : { state: 'stopped' });
  }
  try {
    const missing = [...standings].flatMap(([site, { state }]) => (state === 'complete' ? [] : [site]));
    const ready: ReadySite[] = [];
    const prepared = await prepareShared(missing, options);
    for (const [site, found] of prepared) {
      if ('parts' in found) ready.push({ site, parts: found.parts });
      else outcomes.set(site, { state: 'failed', error: found.error });
    }
    await buildReady(ready, outcomes, options);
    for (const [site, standing] of standings) {
      if (standing.state === 'complete' && standing.toPush) {
        outcomes.set(site, await pushed(site, standing, options));
      }
    }
  } catch (error) {
    if (!options.signal.aborted) throw error;
  }
  return outcomes;
}

async function buildReady(
  ready: readonly ReadySite[],
  outcomes: Map<ProjectSite, SiteOutcome>,
  { cache, jobs, signal, events, note }: BuildSitesOptions,
): Promise<void> {
  const [first] = ready;
  if (first === undefined) return;
  const processors = availableParallelism();
  const room = await roomFor(first.site.settings.targetFolder, processors);
  const sizes = ready.map(({ parts }) => parts.size);
  const atOnce = sitesAtOnce(sizes, room, jobs);
  note(`${ready.length} to build, ${atOnce} at a time`);
  const told = new SiteEvents(
    ready.map(({ site }) => site),
    events,
  );
  await runPool(ready, { atOnce, signal }, async ({ site, parts }) => {
    const begin = performance.now();
    const seconds = () => (performance.now() - begin) / 1000;
    try {
      const { result } = await told.around(site, async (events) =>
        build.graph.run({
          options: { settings: site.settings, cache },
          targets: await build.targetsOf(site.settings),
          given: parts.given,
          concurrency: Math.max(1, Math.ceil(processors / atOnce)),
          signal,
          events,
        }),
      );
      const { archive, manifest, kit } = result;
      note(`${site.name}: ${kitText(kit)}`);
      outcomes.set(site, { state: 'built', id: manifest.id, archive, seconds: seconds() });
    } catch (error) {
      // What was interrupted stays "stopped".
      if (error !== signal.reason) outcomes.set(site, { state: 'failed', error, seconds: seconds() });
    }
  });
  told.end([...outcomes.values()].every(({ state }) => state === 'built'));
}

type CompleteSite = Extract<Standing, { state: 'complete' }>;

function completeAs(state: 'complete' | 'pushed', { id, archive }: CompleteSite): SiteOutcome {
  return { state, id, archive };
}

/** A complete bundle whose key is still here although builder.yml knows the way: an earlier push failed. */
async function pushed(
  { settings }: ProjectSite,
  standing: CompleteSite,
  report: BuildSitesOptions,
): Promise<SiteOutcome> {
  try {
    await pushBuilt(settings, { folder: standing.archive, handoff: standing.handoff }, report);
    return completeAs('pushed', standing);
  } catch (error) {
    report.signal.throwIfAborted();
    return { state: 'failed', error };
  }
}

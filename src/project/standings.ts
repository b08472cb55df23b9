import { availableParallelism } from 'node:os';
import type { Cache } from '../graph/cache.ts';
import type { Listener } from '../graph/events.ts';
import { isFile } from '../host/folders.ts';
import { runPool } from './pool.ts';
import { archiveOf, type ProjectSite } from './site.ts';
import { type Standing, standingOf } from './standing.ts';
import { todaysInputs } from './today.ts';

export type { Standing } from './standing.ts';

/**
 * What an earlier run left of each site. With nothing there, nothing is read.
 * @param sites of one builder.yml
 * @throws the signal's reason
 */
export async function standingsOf(
  sites: readonly ProjectSite[],
  { cache, signal, events }: { cache: Cache; signal: AbortSignal; events: Listener },
): Promise<Map<ProjectSite, Standing>> {
  const here: ProjectSite[] = [];
  for (const site of sites) if (await isFile(archiveOf(site.settings))) here.push(site);
  const found = new Map<ProjectSite, Standing>();
  for (const site of sites) found.set(site, { state: 'to build', why: 'it has no bundle' });
  const [first] = here;
  if (first === undefined) return found;
  const label = { task: 'earlier', title: 'Earlier bundles' };
  const begin = performance.now();
  const seconds = () => (performance.now() - begin) / 1000;
  events({ type: 'begin', tasks: [{ name: label.task, title: label.title }] });
  events({ type: 'start', ...label });
  const today = await todaysInputs(first.settings, cache, signal);
  let done = 0;
  const outcomes = await runPool(here, { atOnce: availableParallelism(), signal }, async (site) => {
    const standing = await standingOf(site.settings, today, signal);
    done += 1;
    events({ type: 'progress', ...label, progress: { done, total: here.length, unit: 'bundles' } });
    return standing;
  });
  signal.throwIfAborted();
  for (const [site, outcome] of outcomes) {
    if (outcome.status === 'rejected') throw outcome.reason;
    found.set(site, outcome.value);
  }
  const complete = [...found.values()].filter(({ state }) => state === 'complete').length;
  events({
    type: 'done',
    ...label,
    seconds: seconds(),
    cached: false,
    detail: `${complete} of ${sites.length} complete`,
  });
  events({ type: 'end', ok: true, seconds: seconds() });
  return found;
}

import { type Base, completedBase, type Missing, type Need, requireBase } from '../base/index.ts';
import type { Cache } from '../graph/cache.ts';
import type { TaskContext } from '../graph/task.ts';
import { fitForGpu } from './gpu.ts';
import type { BuildSettings } from './settings.ts';
import { shareSettings } from './user-data.ts';

/** The base as `cvm base complete` made it whole, where it did. */
export async function wholeBase(cache: Cache, found: Base): Promise<Base> {
  return (await completedBase(cache, found)) ?? found;
}

/**
 * The base that a bundle of this kind is made of. What only an NFS share needs is worth a warning, no more: without it the
 * workload starts.
 * @throws UserError where the bundle would not boot.
 */
export async function usableBase(
  found: Base,
  { settings, cache }: { settings: Pick<BuildSettings, 'kind' | 'site'>; cache: Cache },
  { signal, warn }: Pick<TaskContext<unknown>, 'signal' | 'warn'>,
): Promise<Base> {
  const base = await wholeBase(cache, found);
  const needs: Need[] = settings.kind === 'development' ? ['development'] : [];
  const { missing } = await requireBase(base, { needs, signal });
  const forShare = missing.filter(({ need }: Missing) => need === 'share');
  if (forShare.length > 0 && shareSettings(settings.site).allowed) {
    const what = forShare.map((item) => item.what).join(', ');
    warn(`no NFS share can be mounted: the base has no ${what}; \`cvm base complete\` adds what it lacks`);
  }
  return fitForGpu(base, settings, { signal, warn });
}

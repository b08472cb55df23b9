import { type Base, requireGpuSupport } from '../base/index.ts';
import { usesGpu } from '../config/index.ts';
import type { GpuSettings } from '../site/index.ts';
import type { BuildSettings } from './settings.ts';

/**
 * The base, once it is known to hold what this site's GPU needs, where it has one.
 * @throws UserError naming what the base lacks
 */
export async function fitForGpu(
  base: Base,
  { site }: Pick<BuildSettings, 'site'>,
  report: { signal: AbortSignal; warn: (text: string) => void },
): Promise<Base> {
  if (usesGpu(site)) await requireGpuSupport(base, report);
  return base;
}

/** What the site layer holds for the GPU. Only a development bundle takes one that is not in confidential-computing mode. */
export function gpuOfSite({ site, kind }: Pick<BuildSettings, 'site' | 'kind'>): GpuSettings | undefined {
  return usesGpu(site) ? { confidential: kind === 'production' } : undefined;
}

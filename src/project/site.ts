import { realpath } from 'node:fs/promises';
import { join } from 'node:path';
import type { BuildSettings } from '../build/settings.ts';
import { exitStatus, UserError } from '../host/errors.ts';

/** One site of a run that builds several. */
export interface ProjectSite {
  /** Name of the bundle; no two sites of a run have the same. */
  name: string;
  settings: BuildSettings;
}

/** The `.tgz` of a site: what goes to its host. */
export function archiveOf({ targetFolder, name }: Pick<BuildSettings, 'targetFolder' | 'name'>): string {
  return join(targetFolder, `${name}.tgz`);
}

/**
 * Refuses sites that would overwrite each other's bundles, retire each other's images, or be one participant twice.
 * @throws UserError naming every pair
 */
export async function refuseCollisions(sites: readonly ProjectSite[]): Promise<void> {
  const places = new Map<string, ProjectSite>();
  const kits = new Map<string, ProjectSite>();
  const details: string[] = [];
  const sourceOf = ({ settings }: ProjectSite) => settings.userConfig.nvflare ?? settings.read.ccConfig.path;
  for (const site of sites) {
    const place = archiveOf(site.settings);
    const other = places.get(place);
    if (other !== undefined) details.push(`${place}: of both ${sourceOf(other)} and ${sourceOf(site)}`);
    else places.set(place, site);
    const kit = site.settings.userConfig.nvflare;
    if (kit === undefined) continue;
    const real = await realpath(kit);
    const owner = kits.get(real);
    // Of sites with one name that is said already.
    if (owner === undefined) kits.set(real, site);
    else if (owner.name !== site.name)
      details.push(`${real}: the startup kit of both ${owner.name} and ${site.name}`);
  }
  if (details.length === 0) return;
  throw new UserError('cannot build these sites in one run: they collide', {
    details,
    hint: 'each site needs a name and a startup kit of its own; a site is named after its kit, else after its file',
    status: exitStatus.usage,
  });
}

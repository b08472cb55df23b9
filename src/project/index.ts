/** Many sites in one run: a FLARE project, or a list of cc_config files. */
export { type BuildSitesOptions, buildSites, type SiteOutcome } from './build-sites.ts';
export { type CommonRequest, sitesOfFiles, sitesOfProject } from './load.ts';
export type { ProjectSite } from './site.ts';
export { type Standing, standingsOf } from './standings.ts';

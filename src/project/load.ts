import { dirname, resolve } from 'node:path';
import { existingPath, readConfig, refuseProblems, siteContext } from '../build/builder-file.ts';
import { type BuildRequest, loadSettings } from '../build/settings.ts';
import { parseProjectFile } from '../config/index.ts';
import { exitStatus, UserError } from '../host/errors.ts';
import { findKits, kitOf } from './kits.ts';
import { type ProjectSite, refuseCollisions } from './site.ts';

/** What all sites of a run have in common. */
export type CommonRequest = Omit<BuildRequest, 'configFile' | 'name' | 'startupKit'>;

/** The sites of a list of cc_config files. @throws UserError with the mistakes of all of them. */
export function sitesOfFiles(files: readonly string[], common: CommonRequest): Promise<ProjectSite[]> {
  return loadAll(files.map((configFile) => async () => loadSettings({ ...common, configFile })));
}

/**
 * The sites of FLARE's project.yml: each participant that has a cc_config, with its startup kit.
 * @param kits folder prod_NN, in place of the newest one
 * @throws UserError with the mistakes of all of them
 */
export async function sitesOfProject(
  file: string,
  common: Omit<CommonRequest, 'project'>,
  kits?: string,
): Promise<ProjectSite[]> {
  const { project, errors } = parseProjectFile(await readConfig(resolve(file)), file);
  refuseProblems(errors, []);
  const { name, sites } = project!;
  if (sites.length === 0) {
    throw new UserError(`cannot build ${file}: no participant has a cc_config`, {
      hint: 'give each participant that is to run in a confidential VM a line "cc_config: cc_<name>.yml"',
      status: exitStatus.usage,
    });
  }
  const folder = await findKits(name, file, kits);
  const context = siteContext(dirname(resolve(file)));
  return loadAll(
    sites.map(
      (site) => async () =>
        loadSettings({
          ...common,
          configFile: existingPath(site.ccConfig, context),
          name: site.name,
          startupKit: await kitOf(folder, site.name),
          project: name,
        }),
    ),
  );
}

/** All mistakes are reported at once: what starts is known to be readable. */
async function loadAll(loads: (() => Promise<ProjectSite['settings']>)[]): Promise<ProjectSite[]> {
  const sites: ProjectSite[] = [];
  const refused: UserError[] = [];
  for (const load of loads) {
    try {
      const settings = await load();
      sites.push({ name: settings.name, settings });
    } catch (error) {
      if (!(error instanceof UserError)) throw error;
      refused.push(error);
    }
  }
  const [first, ...more] = refused;
  if (first !== undefined) throw more.length === 0 ? first : together(refused);
  await refuseCollisions(sites);
  return sites;
}

function together(refused: readonly UserError[]): UserError {
  const details = refused.flatMap((error) => (error.details.length > 0 ? error.details : [error.message]));
  const hints = new Set(refused.flatMap(({ hint }) => hint ?? []));
  return new UserError('cannot use the configuration', {
    details: [...new Set(details)],
    ...(hints.size === 1 ? { hint: [...hints][0]! } : {}),
    status: exitStatus.usage,
  });
}

import { type Base, buildBase, cachedBase, forgetBase } from '../base/index.ts';
import type { Cache } from '../graph/cache.ts';
import type { TaskContext } from '../graph/task.ts';
import { baseRecipe } from './base-recipe.ts';
import { imageToImport, importedBase, knownImport } from './imported-base.ts';
import type { BuildSettings } from './settings.ts';
import { usableBase, wholeBase } from './usable-base.ts';

interface BaseOptions {
  settings: BuildSettings;
  cache: Cache;
}

type Report = Pick<TaskContext<unknown>, 'signal' | 'progress' | 'note' | 'warn' | 'usedCache'>;

/** For the plan: the base where it is in the cache. @throws UserError where it cannot be told which one is meant. */
export async function knownBase(
  { settings, cache }: BaseOptions,
  signal: AbortSignal,
): Promise<Base | undefined> {
  const image = imageToImport(settings);
  const built = async () =>
    settings.refreshBase ? undefined : await cachedBase(cache, baseRecipe(settings.builder));
  const found = image === undefined ? await built() : await knownImport(image, cache, signal);
  return found && wholeBase(cache, found);
}

/**
 * The base of a bundle: imported where the administrator has an image, else built; completed where that was done; checked.
 * @throws UserError where it cannot be had, or the bundle would not boot.
 */
export async function baseOfSite({ settings, cache }: BaseOptions, report: Report): Promise<Base> {
  const image = imageToImport(settings);
  const found =
    image === undefined
      ? await builtBase({ settings, cache }, report)
      : await importedBase(settings, image, cache, report);
  return usableBase(found, { settings, cache }, report);
}

async function builtBase({ settings, cache }: BaseOptions, report: Report): Promise<Base> {
  const recipe = baseRecipe(settings.builder);
  if (settings.refreshBase) await forgetBase(cache, recipe);
  const known = await cachedBase(cache, recipe);
  if (known === undefined) return buildBase({ cache, ...recipe, ...report });
  report.usedCache();
  const days = Math.floor((Date.now() - Date.parse(known.builtAt)) / 86_400_000);
  if (days > 30) report.warn(`the base is ${days} days old: --refresh-base brings today's security updates`);
  return known;
}

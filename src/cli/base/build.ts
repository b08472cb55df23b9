import { readFile } from 'node:fs/promises';
import {
  type Base,
  buildBase,
  cachedBase,
  forgetBase,
  type OptionalList,
  optionalLists,
} from '../../base/index.ts';
import { baseRecipe } from '../../build/base-recipe.ts';
import { readBuilderFile } from '../../build/builder-file.ts';
import { cacheRoot } from '../../build/settings.ts';
import { openCache } from '../../graph/cache.ts';
import { exitStatus, UserError } from '../../host/errors.ts';
import { handleSignals } from '../../host/signals.ts';

export interface BaseBuildFlags {
  config?: string;
  suite?: string;
  with?: string;
  refresh?: boolean;
}

/** `cvm base build`: what the base is on standard output, progress on standard error. */
export async function baseBuildCommand(flags: BaseBuildFlags): Promise<void> {
  using interruption = handleSignals();
  const recipe = baseRecipe((await readBuilderFile(flags.config)).builder);
  if (flags.suite !== undefined) recipe.suite = suiteName(flags.suite);
  if (flags.with !== undefined) recipe.lists = listNames(flags.with);
  const cache = openCache(await cacheRoot(flags.config));
  if (flags.refresh) await forgetBase(cache, recipe);
  const known = await cachedBase(cache, recipe);
  const progress = (text: string) => process.stderr.write(`${text}\n`);
  const base = known ?? (await buildBase({ ...recipe, cache, signal: interruption.signal, progress }));
  process.stdout.write(await described(base, known !== undefined));
}

async function described(base: Base, fromCache: boolean): Promise<string> {
  const packages = (await readFile(base.packages, 'utf8')).split('\n').length - 1;
  const rows = [
    ['base', base.id],
    ['origin', `${base.origin}, ${base.builtAt.slice(0, 10)}${fromCache ? ', from the cache' : ''}`],
    ['kernel', base.kernelRelease],
    ['packages', `${packages}, listed in ${base.packages}`],
    ['file', base.squashfs],
  ];
  return rows.map(([name, text]) => `${name!.padEnd(9)} ${text}\n`).join('');
}

/** The form that builder.yml demands of base.suite. */
function suiteName(text: string): string {
  if (/^[a-z][a-z0-9-]{0,31}$/.test(text)) return text;
  throw new UserError(`cannot use --suite ${JSON.stringify(text)}: it is no name of a suite`, {
    status: exitStatus.usage,
  });
}

/** `nfs,gpu` -> both; `core` stands for what every base has. */
export function listNames(text: string): OptionalList[] {
  const names = text.split(',').filter((name) => name !== 'core');
  const isList = (name: string): name is OptionalList => (optionalLists as readonly string[]).includes(name);
  const wrong = names.find((name) => !isList(name));
  if (wrong !== undefined) {
    throw new UserError(`cannot use --with ${text}: there is no list ${JSON.stringify(wrong)}`, {
      hint: `there are ${optionalLists.join(', ')}; core is always part of it`,
      status: exitStatus.usage,
    });
  }
  return optionalLists.filter((name) => names.includes(name));
}

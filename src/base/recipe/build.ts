import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { type Cache, contentKey } from '../../graph/cache.ts';
import { UserError } from '../../host/errors.ts';
import { sha256File } from '../../host/files.ts';
import { start, toolError } from '../../host/run.ts';
import { squashfsOptions } from '../../host/squashfs.ts';
import { requireNamespaces } from '../../host/user-namespaces.ts';
import { type AptSource, hostSources, signaturesRequired, sourcesList } from '../apt.ts';
import { type Base, type BaseMeta, openBase } from '../base.ts';
import { checkKernel } from '../check/kernel.ts';

/** What a base is built from. */
export interface BaseRecipe {
  /** Folder with packages.txt, modules.txt and finish.sh. */
  recipe: string;
  /** Debian or Ubuntu suite; the host's own unless told otherwise. */
  suite?: string | undefined;
}

export interface BuildBaseOptions extends BaseRecipe {
  cache: Cache;
  signal?: AbortSignal | undefined;
  progress?: (text: string) => void;
}

const cacheKind = 'base';

/** Key of a built base: the recipe and what the host builds it from, not the day's package versions. */
export async function builtBaseKey({ recipe, suite }: BaseRecipe): Promise<string> {
  const files = ['packages.txt', 'modules.txt', 'finish.sh'];
  const texts = await Promise.all(files.map((file) => readFile(join(recipe, file))));
  return contentKey('mmdebstrap', '2', suite ?? (await hostCodename()), ...texts);
}

/** The base if it was built before. */
export async function cachedBase(cache: Cache, recipe: BaseRecipe): Promise<Base | undefined> {
  const folder = await cache.lookup(cacheKind, await builtBaseKey(recipe));
  return folder === undefined ? undefined : openBase(folder);
}

/** Drops a base, so that the next build makes it of the packages of its day. */
export async function forgetBase(cache: Cache, recipe: BaseRecipe): Promise<void> {
  await cache.remove(cacheKind, await builtBaseKey(recipe));
}

/**
 * Builds the default base with mmdebstrap from the host's own apt sources: once, then from the cache.
 * @throws UserError where the packages cannot be had or the kernel lacks something the CVM needs.
 */
export async function buildBase(options: BuildBaseOptions): Promise<Base> {
  const { cache, suite, signal } = options;
  const key = await builtBaseKey(options);
  const folder = await cache.entry(cacheKind, key, async (entry) => {
    await requireNamespaces('build the base', signal);
    const work = join(entry, 'work');
    await mkdir(work, { mode: 0o755 });
    options.progress?.('reading package lists');
    const all = await hostSources(join(work, 'apt'), signal);
    const wanted = suite ?? (await hostCodename());
    const sources = all.filter(({ codename }) => codename === wanted || codename.startsWith(`${wanted}-`));
    if (sources.length === 0) {
      throw new UserError(`cannot build the base: the host's apt sources have no suite ${wanted}`, {
        hint: `they have ${[...new Set(all.map((source) => source.codename))].join(', ')}: set base.suite in builder.yml`,
      });
    }
    options.progress?.(`installing packages of ${wanted}`);
    await makeSquashfs(options, wanted, sources, work, join(entry, 'base.squashfs'));
    await rm(work, { recursive: true });
    options.progress?.('checking the kernel');
    const kernelRelease = await checkKernel(entry, signal);
    const { hex: id } = await sha256File(join(entry, 'base.squashfs'), { signal });
    const meta: BaseMeta = {
      id,
      kernelRelease,
      origin: `mmdebstrap ${wanted}`,
      builtAt: new Date().toISOString(),
    };
    await writeFile(join(entry, 'meta.json'), JSON.stringify(meta));
  });
  return openBase(folder);
}

/** mmdebstrap's tar stream goes straight into tar2sqfs: the system never lies on the host as files. */
async function makeSquashfs(
  { recipe, signal }: BuildBaseOptions,
  suite: string,
  sources: AptSource[],
  work: string,
  target: string,
): Promise<void> {
  const list = join(work, 'sources.list');
  await writeFile(list, sourcesList(sources));
  const packages = (await readFile(join(recipe, 'packages.txt'), 'utf8'))
    .split('\n')
    .map((line) => line.replace(/#.*/, '').trim())
    .filter((line) => line !== '');
  const excluded = ['man', 'doc', 'locale', 'info', 'lintian', 'bug'];
  const debstrapArguments = [
    '--quiet',
    '--variant=minbase',
    '--format=tar',
    `--include=${packages.join(',')}`,
    ...excluded.map((name) => `--dpkgopt=path-exclude=/usr/share/${name}/*`),
    '--aptopt=APT::Install-Recommends "false"',
    ...signaturesRequired.map(([name, value]) => `--aptopt=${name} "${value}"`),
    `--customize-hook=${join(recipe, 'finish.sh')}`,
    suite,
    '-',
    list,
  ];
  const environment = { CVM_MODULES: join(recipe, 'modules.txt'), SOURCE_DATE_EPOCH: '0' };
  const debstrap = start(
    'mmdebstrap',
    debstrapArguments,
    { signal, env: environment },
    { buffer: { stdout: false } },
  );
  const squash = start('tar2sqfs', [...squashfsOptions(), target], { signal }, { stdin: 'pipe' });
  const results = await Promise.allSettled([debstrap, squash, pipeline(debstrap.stdout!, squash.stdin!)]);
  if (results[0].status === 'rejected') {
    throw toolError('mmdebstrap', debstrapArguments, results[0].reason, {
      signal,
      hint: 'this step needs the archives of /etc/apt/sources.list*, and root, or an account with user namespaces and a range in /etc/subuid',
    });
  }
  if (results[1].status === 'rejected') throw toolError('tar2sqfs', [target], results[1].reason, { signal });
  if (results[2].status === 'rejected') throw results[2].reason;
}

/** VERSION_CODENAME of the host's os-release. */
async function hostCodename(): Promise<string> {
  const text = await readFile('/etc/os-release', 'utf8').catch(() => '');
  const name = /^VERSION_CODENAME="?([a-z]+)"?$/m.exec(text)?.[1];
  if (name === undefined) {
    throw new UserError('cannot build the base: this host is neither Debian nor Ubuntu', {
      hint: 'set base.suite in builder.yml to the suite that the base is built from',
    });
  }
  return name;
}

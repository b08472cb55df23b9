import { link, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Cache, contentKey } from '../../graph/cache.ts';
import { exitStatus, UserError } from '../../host/errors.ts';
import { sha256File } from '../../host/files.ts';
import { requireNamespaces } from '../../host/user-namespaces.ts';
import { PrivateApt, sourcesList } from '../apt.ts';
import { type Base, type BaseMeta, openBase } from '../base.ts';
import { checkKernel } from '../check/kernel.ts';
import { listFiles, type OptionalList, readLists } from './lists.ts';
import { fetchPackages, newestBuild, type PackageFile, resolvePackages } from './packages.ts';
import { requireKeyring, suiteSources } from './sources.ts';
import { makeSystem } from './system.ts';

/** What a base is built from. */
export interface BaseRecipe {
  /** Folder with core.txt and the other package lists, modules.txt, and finish.sh with the scripts that it runs. */
  recipe: string;
  /** Debian or Ubuntu suite; the host's own unless told otherwise. */
  suite?: string | undefined;
  /** Package lists beside `core`; `nfs` unless told otherwise. */
  lists?: readonly OptionalList[] | undefined;
  /** Archives in place of the host's apt sources. */
  mirror?: string | undefined;
  securityMirror?: string | undefined;
}

export interface BuildBaseOptions extends BaseRecipe {
  cache: Cache;
  signal?: AbortSignal | undefined;
  progress?: (text: string) => void;
  /** Folder of the distributions' keyrings. */
  keyrings?: string;
}

/** What the meta.json of a built base says beside what every base's does. */
interface RecipeMeta extends BaseMeta {
  suite: string;
  lists: readonly string[];
  /** Seconds; no file of the base is younger. */
  epoch: number;
  /** Where that comes from: the newest of the packages, or the caller's environment. */
  epochOf: 'newest package' | 'SOURCE_DATE_EPOCH';
}

const cacheKind = 'base';
/** The .deb files of the last build of a suite and its lists, so that the next fetches only what changed. */
const packagesKind = 'packages';
const scripts = ['modules.txt', 'finish.sh', 'trim-modules.sh', 'clean.sh'];

/** Changes where this program makes another base of the same recipe. */
const builderVersion = '3';

const listsOf = ({ lists = ['nfs'] }: BaseRecipe) => lists;

/**
 * Key of a built base: the recipe and what the host builds it from, not the day's package versions.
 * @throws UserError where the suite is not known or SOURCE_DATE_EPOCH is no number.
 */
export async function builtBaseKey(options: BaseRecipe): Promise<string> {
  const { recipe, suite, mirror = '', securityMirror = '' } = options;
  const files = [...listFiles(listsOf(options)), ...scripts];
  const texts = await Promise.all(files.map((file) => readFile(join(recipe, file))));
  const epoch = String(givenEpoch() ?? '');
  const from = [suite ?? (await hostCodename()), mirror, securityMirror, epoch, files.join(' ')];
  return contentKey('mmdebstrap', builderVersion, ...from, ...texts);
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
 * Builds a base with mmdebstrap: once, then from the cache. Made of the same packages it is the same byte for byte, whoever
 * builds it and when; SOURCE_DATE_EPOCH (seconds) is honoured.
 * @throws UserError where the packages cannot be had or the kernel lacks something the CVM needs.
 */
export async function buildBase(options: BuildBaseOptions): Promise<Base> {
  const { cache, signal, progress } = options;
  const folder = await cache.entry(cacheKind, await builtBaseKey(options), async (entry) => {
    await requireNamespaces('build the base', signal);
    const work = join(entry, 'work');
    await mkdir(work, { mode: 0o755 });
    const { suite, epoch } = await install(options, work, join(entry, 'base.squashfs'));
    await rm(work, { recursive: true });
    progress?.('checking the kernel');
    const kernelRelease = await checkKernel(entry, signal);
    const { hex: id } = await sha256File(join(entry, 'base.squashfs'), { signal });
    const meta: RecipeMeta = {
      id,
      kernelRelease,
      origin: `mmdebstrap ${suite}`,
      builtAt: new Date().toISOString(),
      suite,
      lists: ['core', ...listsOf(options)],
      epoch,
      epochOf: givenEpoch() === undefined ? 'newest package' : 'SOURCE_DATE_EPOCH',
    };
    await writeFile(join(entry, 'meta.json'), JSON.stringify(meta));
  });
  return openBase(folder);
}

/** Fetches the packages and installs them. */
async function install(
  options: BuildBaseOptions,
  work: string,
  target: string,
): Promise<{ suite: string; epoch: number }> {
  const { cache, recipe, mirror, securityMirror, keyrings, signal, progress } = options;
  const suite = options.suite ?? (await hostCodename());
  const lists = listsOf(options);
  progress?.(`reading package lists of ${suite}`);
  const where = { suite, mirror, securityMirror };
  const found = await suiteSources(where, join(work, 'host'), { signal, ...(keyrings && { keyrings }) });
  const { packages, archives } = await readLists(recipe, lists, found.distribution);
  for (const { line, keyring } of archives) await requireKeyring(keyring, line, 'see the list that names it');
  const sources = join(work, 'sources.list');
  await writeFile(sources, sourcesList(found.sources) + archives.map(({ line }) => `${line}\n`).join(''));
  const apt = await PrivateApt.open(join(work, 'apt'), sources);
  await apt.get(['update', '--error-on=any'], {
    signal,
    hint: `the archives of ${suite} must be reachable; base.mirror in builder.yml names others`,
  });
  const files = await resolvePackages(apt, suite, packages, { signal });
  const packagesKey = contentKey(packagesKind, suite, ...lists);
  const known = await cache.lookup(packagesKind, packagesKey);
  progress?.(`fetching ${files.length} packages of ${suite}`);
  const fetched = await fetchPackages(apt, suite, packages, files, { known, signal });
  if (fetched.length > 0) await keepPackages(cache, packagesKey, apt.archives, files);
  const epoch = givenEpoch() ?? (await newestBuild(apt.archives, files));
  progress?.(`installing ${files.length} packages of ${suite}, ${fetched.length} of them fetched`);
  const parts = {
    suite,
    packages,
    sourcesList: sources,
    lists: apt.lists,
    archives: apt.archives,
    recipe,
    epoch,
  };
  await makeSystem(parts, target, { signal });
  return { suite, epoch };
}

async function keepPackages(cache: Cache, key: string, from: string, files: readonly PackageFile[]) {
  await using draft = await cache.draft();
  for (const { name } of files) await link(join(from, name), join(draft.folder, name));
  await cache.remove(packagesKind, key);
  await draft.commit(packagesKind, key);
}

/** SOURCE_DATE_EPOCH in seconds, if it is set. */
function givenEpoch(): number | undefined {
  const text = process.env.SOURCE_DATE_EPOCH;
  if (text === undefined || text === '') return undefined;
  if (/^\d{1,12}$/.test(text)) return Number(text);
  throw new UserError(`cannot use SOURCE_DATE_EPOCH ${JSON.stringify(text)}: it is not a number of seconds`, {
    status: exitStatus.usage,
  });
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

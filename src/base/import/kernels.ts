import { UserError } from '../../host/errors.ts';
import { indexFiles, KernelModules, type ModuleIndexes } from '../../host/kernel-modules.ts';
import { plainText } from '../../host/template.ts';
import { readTreeFile, resolvePath, type Tree } from './tree.ts';
import { compareVersions } from './versions.ts';

/** A kernel of an image, and the modules of it that stay. */
export interface Kernel {
  /** Name of its folder below usr/lib/modules. */
  release: string;
  /** Path of the image in the tree, links followed. */
  image: string;
  /** Path of its configuration, where there is one. */
  config: string | undefined;
  /** Paths in the tree of the modules that stay. */
  modules: ReadonlySet<string>;
}

const folder = 'usr/lib/modules';
const largestIndex = 64 * 1024 * 1024;
/** A release becomes a folder's name on the host, and an argument. */
const releasePattern = /^[A-Za-z0-9][A-Za-z0-9.+~_-]{0,127}$/;

/** So does a module's path. */
const modulePattern = /^[A-Za-z0-9][A-Za-z0-9.,+~_/-]{0,400}$/;

/** Paths whose content {@link findKernel} or the import reads. */
export function isOfKernel(path: string): boolean {
  // In any folder at the top: /boot may be a link.
  if (/^[^/]+\/(?:vmlinuz|config)-[^/]+$/.test(path)) return true;
  const names = [...Object.values(indexFiles), 'vmlinuz'];
  return path.startsWith(`${folder}/`) && names.some((name) => path.endsWith(`/${name}`));
}

/**
 * Chooses the kernel: the one that is asked for, else the newest that has its modules.
 * @param list names of modules that stay; those with a leading "?" may be absent
 * @throws UserError where there is none, or a module of the list is missing
 */
export async function findKernel(
  tree: Tree,
  { image, wanted, list }: { image: string; wanted?: string | undefined; list: readonly string[] },
): Promise<Kernel> {
  const cannot = (why: string, hint: string) =>
    new UserError(`cannot import ${image}: ${plainText(why)}`, { hint });
  if ((await resolvePath(tree, folder)) !== folder) {
    if ((await resolvePath(tree, 'lib/modules')) === 'lib/modules') {
      throw cannot(
        'its /lib is not merged into /usr',
        'upgrade it, or run usrmerge in it: systemd needs that, too',
      );
    }
    throw cannot(
      'it holds no kernel: there is no /usr/lib/modules',
      'install linux-image-amd64 (Debian) or linux-image-generic (Ubuntu) in it',
    );
  }
  const found: Kernel[] = [];
  const without: string[] = [];
  for (const release of await tree.namesIn(folder)) {
    if (!releasePattern.test(release)) continue;
    const [kernel, config] = await Promise.all([
      kernelImage(tree, release),
      resolvePath(tree, `boot/config-${release}`),
    ]);
    const complete = (await resolvePath(tree, `${folder}/${release}/${indexFiles.dep}`)) !== undefined;
    if (kernel === undefined || !complete) without.push(release);
    else found.push({ release, image: kernel, config, modules: new Set() });
  }
  found.sort((a, b) => compareVersions(b.release, a.release));
  const chosen = wanted === undefined ? found[0] : found.find(({ release }) => release === wanted);
  if (chosen === undefined) {
    const has = found.map(({ release }) => release).join(', ');
    if (wanted !== undefined && has !== '')
      throw cannot(`it has no kernel ${wanted} with its modules`, `it has ${has}`);
    throw cannot(
      without.length > 0
        ? `it has modules of ${without.join(', ')}, but no kernel image in /boot for them`
        : 'it holds no kernel',
      'install linux-image-amd64 (Debian) or linux-image-generic (Ubuntu) in it',
    );
  }
  return { ...chosen, modules: await modulesToKeep(tree, chosen.release, list, cannot) };
}

async function kernelImage(tree: Tree, release: string): Promise<string | undefined> {
  for (const name of [`boot/vmlinuz-${release}`, `${folder}/${release}/vmlinuz`]) {
    const path = await resolvePath(tree, name);
    if (path !== undefined && (await tree.contentOf(path)) !== undefined) return path;
  }
  return undefined;
}

async function modulesToKeep(
  tree: Tree,
  release: string,
  list: readonly string[],
  cannot: (why: string, hint: string) => UserError,
): Promise<Set<string>> {
  const at = `${folder}/${release}`;
  const texts: Record<string, string> = {};
  for (const [key, name] of Object.entries(indexFiles)) {
    texts[key] = (await readTreeFile(tree, `${at}/${name}`, largestIndex))?.toString('latin1') ?? '';
  }
  const modules = new KernelModules(texts as unknown as ModuleIndexes);
  const keep = new Set<string>();
  for (const entry of list) {
    const name = entry.replace(/^\?/, '');
    const paths = modules.withNeeds(name);
    if (paths === undefined && name === entry) {
      throw cannot(
        `its kernel ${release} has no module ${name}`,
        'install linux-image-amd64 (Debian; its cloud kernel lacks sev-guest) or linux-image-generic and linux-modules-extra (Ubuntu)',
      );
    }
    for (const path of paths ?? []) {
      const whole = `${at}/${path}`;
      // A path of the index that leaves its folder names no module of this kernel.
      if (
        !modulePattern.test(path) ||
        path.split('/').includes('..') ||
        (await tree.nodeAt(whole))?.type !== 'file'
      )
        throw cannot(
          `its kernel ${release} lacks the file of module ${name}`,
          'reinstall the kernel in it, or choose another with base.kernel',
        );
      keep.add(whole);
    }
  }
  return keep;
}

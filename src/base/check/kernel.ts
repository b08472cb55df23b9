import { writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { UserError } from '../../host/errors.ts';
import { listSquashfs, readSquashfsFile } from '../../host/squashfs.ts';

/** What the CVM's kernel must have, as a module or built in, and why. */
export const requiredModules: Record<string, string> = {
  sev_guest: 'attestation reports',
  dm_crypt: 'the encrypted root drive',
  dm_verity: 'the seal of the root drive',
  dm_integrity: 'the authenticated vault',
  squashfs: 'the sealed layers',
  overlay: 'stacking the layers',
  ext4: 'the plain drives and the vault',
  virtio_pci: 'every virtual device',
  virtio_blk: 'the drives',
  virtio_net: 'the network',
  nf_tables: 'the firewall',
  nft_ct: 'the firewall',
};

/** `sev-guest.ko.xz` -> `sev_guest`: modprobe treats dashes and underscores alike. */
function moduleName(path: string): string {
  return basename(path).replace(moduleEnding, '').replaceAll('-', '_');
}

const moduleEnding = /\.ko(\.(xz|zst|gz))?$/;

/** Path of a module's file, or undefined where it is none: built in, or absent. */
export function moduleFile(name: string, paths: readonly string[]): string | undefined {
  return paths.find((path) => moduleEnding.test(path) && moduleName(path) === name);
}

/**
 * Names of required modules that a kernel lacks.
 * @param paths files of the base, without leading slash
 * @param builtin text of its modules.builtin
 */
export function missingModules(paths: string[], builtin: string): string[] {
  const modules = paths.filter((path) => moduleEnding.test(path));
  const present = new Set([...modules, ...builtin.split('\n')].map(moduleName));
  return Object.keys(requiredModules).filter((name) => !present.has(name));
}

/**
 * Release of the kernel that is used where a base has several: the newest that has modules.
 * @param paths everything in the base, without leading slash
 */
export function newestRelease(paths: readonly string[]): string | undefined {
  const releases = paths.flatMap((path) => /^usr\/lib\/modules\/([^/]+)\/kernel$/.exec(path)?.[1] ?? []);
  return releases.sort(new Intl.Collator('en', { numeric: true }).compare).at(-1);
}

/**
 * Checks the kernel of the base.squashfs in `folder` and puts `vmlinuz` and `packages.tsv` beside it.
 * @returns the kernel release
 * @throws UserError naming what the kernel lacks.
 */
export async function checkKernel(folder: string, signal?: AbortSignal): Promise<string> {
  const image = join(folder, 'base.squashfs');
  const paths = await listSquashfs(image, signal);
  const release = releaseOf(paths);
  const builtin = await readSquashfsFile(image, `usr/lib/modules/${release}/modules.builtin`, { signal });
  const [missing] = missingModules(paths, builtin.toString('utf8'));
  if (missing !== undefined) {
    throw new UserError(
      `cannot use the base: its kernel ${release} lacks ${missing}, needed for ${requiredModules[missing]}`,
      { hint: "install linux-image-amd64 in the base (Debian's cloud kernel, for one, has no sev-guest)" },
    );
  }
  return takeKernel(folder, signal);
}

/**
 * Puts `vmlinuz` and `packages.tsv` of the base.squashfs in `folder` beside it, whatever the kernel lacks: for a base that is
 * still to be completed.
 * @returns the kernel release
 * @throws UserError where there is no kernel.
 */
export async function takeKernel(folder: string, signal?: AbortSignal): Promise<string> {
  const image = join(folder, 'base.squashfs');
  const release = releaseOf(await listSquashfs(image, signal));
  await writeFile(
    join(folder, 'vmlinuz'),
    await readSquashfsFile(image, 'boot/vmlinuz', { limit: 1 << 28, signal }),
  );
  const packages = await readSquashfsFile(image, 'usr/share/cvm-packages.tsv', { limit: 1 << 24, signal });
  await writeFile(join(folder, 'packages.tsv'), packages);
  return release;
}

function releaseOf(paths: readonly string[]): string {
  const release = newestRelease(paths);
  if (release !== undefined && paths.includes('boot/vmlinuz')) return release;
  throw new UserError('cannot use the base: it holds no kernel', {
    hint: 'the base needs linux-image-amd64',
  });
}

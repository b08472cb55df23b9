import { pipeline } from 'node:stream/promises';
import { start, toolError } from '../../host/run.ts';
import { squashfsOptions } from '../../host/squashfs.ts';
import { shellQuote } from '../../host/template.ts';
import { signaturesRequired } from '../apt.ts';

/** What mmdebstrap installs a system from. Nothing of it is fetched: the lists and packages are there. */
export interface SystemParts {
  suite: string;
  packages: readonly string[];
  /** A sources.list. */
  sourcesList: string;
  /** Folders of a private apt: package lists and packages. */
  lists: string;
  archives: string;
  /** The recipe's folder. */
  recipe: string;
  /** No file of the system is younger; seconds. */
  epoch: number;
}

/**
 * Parts of packages that are not unpacked: documents; firmware files, which a VM has no devices for, less that of NVIDIA's
 * GPUs; and the hook by which a kernel's installation makes two initrds, slowly, when the builder makes its own.
 */
const leftOut = [
  ...['man', 'doc', 'locale', 'info', 'lintian', 'bug'].map((name) => `path-exclude=/usr/share/${name}/*`),
  'path-exclude=/lib/firmware/*',
  'path-exclude=/usr/lib/firmware/*',
  'path-include=/lib/firmware/nvidia/[0-9]*/gsp_*',
  'path-include=/usr/lib/firmware/nvidia/[0-9]*/gsp_*',
  'path-exclude=/etc/kernel/postinst.d/initramfs-tools',
  'path-exclude=/etc/kernel/postinst.d/dracut',
];

/** Where the recipe lies in the new system while it is finished. */
const inside = '/.cvm-recipe';

/**
 * Installs the system and writes it as a squashfs: mmdebstrap's tar stream goes straight into tar2sqfs. Runs as root, or in user name
 * spaces; there, no program reads the caller's folders, so all goes in through mmdebstrap's own pipe.
 */
export async function makeSystem(
  parts: SystemParts,
  target: string,
  { signal }: { signal?: AbortSignal | undefined } = {},
): Promise<void> {
  const into = (from: string, to: string) => `sync-in ${shellQuote(from)} ${to}`;
  const args = [
    '--quiet',
    '--variant=essential',
    '--format=tar',
    `--include=${parts.packages.join(',')}`,
    // The lists are read already: both resolve and install see one state of the archive.
    '--skip=update,cleanup/apt',
    ...leftOut.map((option) => `--dpkgopt=${option}`),
    '--dpkgopt=force-unsafe-io',
    '--aptopt=APT::Install-Recommends "false"',
    ...signaturesRequired.map(([name, value]) => `--aptopt=${name} "${value}"`),
    `--setup-hook=${into(parts.lists, '/var/lib/apt/lists')}`,
    '--setup-hook=mkdir -p "$1/var/cache/apt/archives"',
    `--setup-hook=${into(parts.archives, '/var/cache/apt/archives')}`,
    `--customize-hook=mkdir "$1${inside}"`,
    `--customize-hook=${into(parts.recipe, inside)}`,
    `--customize-hook="$1${inside}/finish.sh" "$1" && rm -r "$1${inside}"`,
    parts.suite,
    '-',
    parts.sourcesList,
  ];
  const env = { SOURCE_DATE_EPOCH: String(parts.epoch) };
  const debstrap = start('mmdebstrap', args, { signal, env }, { buffer: { stdout: false } });
  const squash = start('tar2sqfs', [...squashfsOptions(), target], { signal }, { stdin: 'pipe' });
  const results = await Promise.allSettled([debstrap, squash, pipeline(debstrap.stdout!, squash.stdin!)]);
  if (results[0].status === 'rejected') {
    throw toolError('mmdebstrap', args, results[0].reason, {
      signal,
      hint: 'this step needs root, or an account with user namespaces and a range in /etc/subuid',
    });
  }
  if (results[1].status === 'rejected') throw toolError('tar2sqfs', [target], results[1].reason, { signal });
  if (results[2].status === 'rejected') throw results[2].reason;
}

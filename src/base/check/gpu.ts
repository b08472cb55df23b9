import { readFile } from 'node:fs/promises';
import { hasCode, UserError } from '../../host/errors.ts';
import { listSquashfs } from '../../host/squashfs.ts';
import type { Base } from '../base.ts';
import { moduleFacts } from './module-facts.ts';

/** Something that a base must hold for NVIDIA GPUs. */
export interface GpuNeed {
  /** What it is, as it stands after "it lacks". */
  what: string;
  /** What it is for in the CVM. */
  why: string;
  /** Which package brings it, and whose. */
  from: string;
}

const driver = "Ubuntu's restricted archive or NVIDIA's apt repository";
const toolkit = "nvidia-container-toolkit, of NVIDIA's apt repository for libnvidia-container";
const libraries = 'usr/lib/x86_64-linux-gnu/(?:[a-z0-9_-]+/)*';
const module = (name: string) => `usr/lib/modules/RELEASE/.*/${name}\\.ko(?:\\.(?:xz|zst|gz))?`;

/** What is looked for, as a pattern of a whole path; RELEASE stands for the kernel's. */
const needs: readonly (GpuNeed & { pattern: string })[] = [
  {
    what: 'the kernel module nvidia',
    why: 'drives the GPU',
    from: `linux-modules-nvidia-<branch>-server-open-<kernel>, of ${driver}`,
    pattern: module('nvidia'),
  },
  {
    what: 'the kernel module nvidia-uvm',
    why: 'CUDA',
    from: 'the same package as nvidia',
    pattern: module('nvidia-uvm'),
  },
  {
    what: 'the firmware gsp_*.bin',
    why: 'the open kernel modules cannot start a GPU without it',
    from: `nvidia-firmware-<branch>-server-<version>, of ${driver}`,
    pattern: 'usr/lib/firmware/nvidia/[^/]+/gsp_[^/]+\\.bin',
  },
  {
    what: 'libcuda.so.1',
    why: 'CUDA in the container',
    from: `libnvidia-compute-<branch>-server, of ${driver}`,
    pattern: `${libraries}libcuda\\.so\\.1`,
  },
  {
    what: 'libnvidia-ml.so.1',
    why: 'nvidia-smi, and finding the GPUs',
    from: `libnvidia-compute-<branch>-server, of ${driver}`,
    pattern: `${libraries}libnvidia-ml\\.so\\.1`,
  },
  {
    what: 'nvidia-smi',
    why: 'looks at the confidential-computing mode and sets the GPU ready',
    from: `nvidia-utils-<branch>-server, of ${driver}`,
    pattern: 'usr/bin/nvidia-smi',
  },
  {
    what: 'nvidia-persistenced',
    why: "keeps the driver's session with the GPU",
    from: `nvidia-compute-utils-<branch>-server, of ${driver}`,
    pattern: 'usr/bin/nvidia-persistenced',
  },
  {
    what: 'nvidia-ctk',
    why: 'describes the GPU for the container (CDI)',
    from: toolkit,
    pattern: 'usr/bin/nvidia-ctk',
  },
  {
    what: 'nvidia-cdi-hook',
    why: "makes the driver's libraries known in the container",
    from: `${toolkit}, 1.17 or later`,
    pattern: 'usr/bin/nvidia-cdi-hook',
  },
  {
    what: 'jq',
    why: "adds the GPU to the container's configuration",
    from: 'jq, of Debian and Ubuntu',
    pattern: 'usr/bin/jq',
  },
];

/** The first branch whose open kernel modules know confidential computing on Hopper. */
const oldestBranch = 550;

/**
 * What a base lacks for NVIDIA GPUs, by its files alone.
 * @param paths all paths of the base, without a leading slash, /usr merged
 * @param kernelRelease the kernel whose modules count
 */
export function missingForGpu(paths: readonly string[], kernelRelease: string): GpuNeed[] {
  return needs
    .filter(({ pattern }) => findPath(paths, pattern, kernelRelease) === undefined)
    .map(({ what, why, from }) => ({ what, why, from }));
}

function findPath(paths: readonly string[], pattern: string, release: string): string | undefined {
  const whole = new RegExp(`^${pattern.replace('RELEASE', release.replaceAll(/[.+]/g, '\\$&'))}$`);
  return paths.find((path) => whole.test(path));
}

/** The first names; all of them stand below the message. */
function some(names: string[]): string {
  return names.length <= 4
    ? names.join(', ')
    : `${names.slice(0, 3).join(', ')} and ${names.length - 3} more things`;
}

/** Whether a package list (`name<TAB>version` a line) has a toolkit whose hooks lead out of the container (CVE-2025-23266, -23267). */
export function hasWeakToolkit(packages: string): boolean {
  const versions = [...packages.matchAll(/^nvidia-container-toolkit(?:-base)?\t(\d+)\.(\d+)\.(\d+)/gm)];
  return versions.some(([, ...parts]) => {
    const [major = 0, minor = 0, patch = 0] = parts.map(Number);
    return major < 1 || (major === 1 && (minor < 17 || (minor === 17 && patch < 8)));
  });
}

/**
 * Refuses a base that could not give its workload a GPU.
 * @throws UserError with what is missing, one a line and where it comes from; that the toolkit is too old; or what is wrong with the
 *   kernel modules: the kernel of the CVM is locked down, so a module without a signature never loads; those under NVIDIA's own license know no
 *   confidential computing, nor do those before branch 550
 */
export async function requireGpuSupport(
  { squashfs, kernelRelease, packages }: Pick<Base, 'squashfs' | 'kernelRelease' | 'packages'>,
  { signal, warn = () => {} }: { signal?: AbortSignal | undefined; warn?: (text: string) => void } = {},
): Promise<void> {
  const paths = await listSquashfs(squashfs, signal);
  const missing = missingForGpu(paths, kernelRelease);
  if (missing.length > 0) {
    throw new UserError(
      `cannot give the workload a GPU: the base lacks ${some(missing.map(({ what }) => what))}`,
      {
        details: missing.map(({ what, why, from }) => `${what}: ${why}; from ${from}`),
        hint: 'docs/base.md, "GPU", says how to prepare such a base; a site without GPU has neither cc_gpu_mechanism nor a GPU authorizer',
      },
    );
  }
  const list = await readFile(packages, 'utf8').catch((error: unknown) => {
    if (hasCode(error, 'ENOENT')) return '';
    throw error;
  });
  if (hasWeakToolkit(list)) {
    throw new UserError(
      'cannot give the workload a GPU: the NVIDIA container toolkit of the base is too old',
      {
        hint: 'install nvidia-container-toolkit 1.17.8 or later: through hooks of earlier ones an image gets out of its container',
      },
    );
  }
  for (const name of ['nvidia', 'nvidia-uvm']) {
    const path = findPath(paths, module(name), kernelRelease)!;
    const { signed, license, version } = await moduleFacts(squashfs, path, signal);
    const refuse = (why: string) =>
      new UserError(`cannot give the workload a GPU: the kernel module ${name} ${why}`, {
        details: [path],
        hint: 'take linux-modules-nvidia-<branch>-server-open-<kernel> of Ubuntu, 550 or later (docs/base.md, "GPU")',
      });
    if (!signed) throw refuse('is not signed, and the kernel of the CVM loads only signed ones');
    if (license === 'NVIDIA') throw refuse('is the closed one, which knows no confidential computing');
    if (version !== undefined && Number.parseInt(version, 10) < oldestBranch)
      throw refuse(`is of version ${version}: confidential computing needs ${oldestBranch} or later`);
    if (path.includes('/updates/'))
      warn(
        `${path} was built by DKMS: it loads only where its signer's certificate is built into the kernel (docs/base.md)`,
      );
  }
}

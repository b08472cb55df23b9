import { accessSync, constants, statSync } from 'node:fs';
import { join } from 'node:path';
import { exitStatus, UserError } from './errors.ts';

/** A host program that the builder calls. */
export interface Tool {
  /** Debian and Ubuntu package that holds it. */
  package: string;
  /** What it is for, as a phrase that completes "needed to …". */
  purpose: string;
  /** Absolute path where it lies outside of the usual folders. */
  path?: string;
}

/** The one table of host tools: `cvm doctor`, the set-up and every error message read it. */
export const tools = {
  'qemu-img': { package: 'qemu-utils', purpose: 'make qcow2 drives' },
  'qemu-system-x86_64': { package: 'qemu-system-x86', purpose: 'boot a development bundle' },
  cryptsetup: { package: 'cryptsetup-bin', purpose: 'encrypt the root drive' },
  veritysetup: { package: 'cryptsetup-bin', purpose: 'seal the root drive' },
  tar2sqfs: { package: 'squashfs-tools-ng', purpose: 'make squashfs images' },
  gensquashfs: { package: 'squashfs-tools-ng', purpose: 'make the site layer' },
  sqfs2tar: { package: 'squashfs-tools-ng', purpose: 'read squashfs images' },
  rdsquashfs: { package: 'squashfs-tools-ng', purpose: 'read squashfs images' },
  mke2fs: { package: 'e2fsprogs', purpose: 'make ext4 drives' },
  debugfs: { package: 'e2fsprogs', purpose: 'read ext4 drives without mounting them' },
  fakeroot: { package: 'fakeroot', purpose: 'make drives that root owns' },
  mmdebstrap: { package: 'mmdebstrap', purpose: 'build the default base, or firmware' },
  newuidmap: { package: 'uidmap', purpose: 'build the default base as an ordinary account' },
  'apt-get': { package: 'apt', purpose: 'fetch the firmware' },
  'dpkg-query': { package: 'dpkg', purpose: 'tell which package installed firmware is from' },
  'dpkg-deb': { package: 'dpkg', purpose: 'open the firmware package' },
  'dracut-install': {
    package: 'dracut-core',
    purpose: 'collect programs and modules for the initrd',
    path: '/usr/lib/dracut/dracut-install',
  },
  cpio: { package: 'cpio', purpose: 'pack the initrd' },
  zstd: { package: 'zstd', purpose: 'compress the initrd and read zstd archives' },
  xz: { package: 'xz-utils', purpose: 'look inside the firmware' },
  openssl: { package: 'openssl', purpose: "make the development key broker's certificates" },
  tar: { package: 'tar', purpose: 'unpack parts of the base' },
  flock: { package: 'util-linux', purpose: 'lock shared files' },
  busybox: { package: 'busybox-static', purpose: 'make the quickstart workload' },
} as const satisfies Record<string, Tool>;

export type ToolName = keyof typeof tools;

/** Folders searched besides PATH: ordinary accounts on Debian have no sbin in theirs. */
const systemFolders = ['/usr/local/sbin', '/usr/local/bin', '/usr/sbin', '/usr/bin', '/sbin', '/bin'];

/** PATH for child processes: the user's, then the system folders. */
export function searchPath(): string {
  const own = (process.env.PATH ?? '').split(':').filter((folder) => folder.startsWith('/'));
  return [...new Set([...own, ...systemFolders])].join(':');
}

function isProgram(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return statSync(path).isFile();
  } catch {
    return false;
  }
}

/** Absolute path of a program on {@link searchPath}, or undefined. */
export function which(name: string): string | undefined {
  return searchPath()
    .split(':')
    .map((folder) => join(folder, name))
    .find(isProgram);
}

/** Absolute path of a tool, or undefined where it is not installed. */
export function locateTool(name: ToolName): string | undefined {
  const tool: Tool = tools[name];
  if (tool.path !== undefined && isProgram(tool.path)) return tool.path;
  return which(name);
}

/**
 * Absolute path of a tool.
 * @throws UserError naming the package where it is not installed.
 */
export function findTool(name: ToolName): string {
  const path = locateTool(name);
  if (path !== undefined) return path;
  const tool: Tool = tools[name];
  throw new UserError(`cannot ${tool.purpose}: ${name} is not installed`, {
    hint: `apt-get install ${tool.package}`,
    status: exitStatus.usage,
  });
}

/** Packages of those tools that are not installed, sorted, each once. */
export function missingPackages(names: ToolName[] = Object.keys(tools) as ToolName[]): string[] {
  const missing = names.filter((name) => locateTool(name) === undefined).map((name) => tools[name].package);
  return [...new Set(missing)].sort();
}

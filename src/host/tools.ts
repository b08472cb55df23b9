import { accessSync, constants, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { exitStatus, UserError } from './errors.ts';

/** What somebody sets out to do, and its name for people. Each tool is needed for some of these. */
export const steps = {
  build: 'every build',
  base: 'building the base system',
  import: 'importing a base',
  complete: 'completing a base',
  firmware: 'fetching the firmware',
  development: 'development bundles',
  boot: 'cvm boot',
  logs: 'cvm logs',
  drive: 'cvm drive',
  mount: 'cvm drive mount',
  quickstart: 'the quickstart',
} as const;

export type Step = keyof typeof steps;

/** A host program that the builder calls. */
export interface Tool {
  /** Debian and Ubuntu package that holds it. */
  package: string;
  /** The package on releases that have moved the program; see {@link packageOf}. */
  newPackage?: string;
  /** What it is for, as a phrase that completes "needed to …". */
  purpose: string;
  /** What cannot be done without it. */
  steps: readonly Step[];
  /** True where root needs it for none of them. */
  unlessRoot?: true;
  /** Absolute path where it lies outside of the usual folders. */
  path?: string;
  /** Arguments that make it tell its version (`--version` unless told otherwise); false where nothing does. */
  version?: readonly string[] | false;
  /** The oldest version that does, and what an older one lacks: only where one is known to fail. */
  minimum?: { version: string; lacks: string };
}

/** The one table of host tools: `cvm doctor`, the set-up and every error message read it. */
export const tools = {
  'qemu-img': { package: 'qemu-utils', purpose: 'make qcow2 drives', steps: ['build', 'logs', 'drive'] },
  'qemu-nbd': { package: 'qemu-utils', purpose: 'read disk images', steps: ['import', 'drive'] },
  'qemu-io': { package: 'qemu-utils', purpose: 'lock a drive as a VM does', steps: ['drive'] },
  'qemu-system-x86_64': {
    package: 'qemu-system-x86',
    purpose: 'boot a development bundle',
    steps: ['boot'],
  },
  cryptsetup: {
    package: 'cryptsetup-bin',
    purpose: 'encrypt the root drive',
    steps: ['build'],
    // Release notes of 2.5.0: "Support all options allowed with luksFormat with encrypt action".
    minimum: { version: '2.5.0', lacks: 'the layout options of reencrypt --encrypt' },
  },
  veritysetup: { package: 'cryptsetup-bin', purpose: 'seal the root drive', steps: ['build'] },
  tar2sqfs: {
    package: 'squashfs-tools-ng',
    purpose: 'make squashfs images',
    steps: ['build'],
    // Changelog of 1.1.3: "4 GiB limitation for files in tarballs".
    minimum: { version: '1.1.3', lacks: 'files over 4 GiB' },
  },
  gensquashfs: { package: 'squashfs-tools-ng', purpose: 'make the site layer', steps: ['build'] },
  sqfs2tar: {
    package: 'squashfs-tools-ng',
    purpose: 'read squashfs images',
    steps: ['build'],
    minimum: { version: '1.1.3', lacks: 'files over 4 GiB' },
  },
  rdsquashfs: { package: 'squashfs-tools-ng', purpose: 'read squashfs images', steps: ['base', 'import'] },
  mke2fs: {
    package: 'e2fsprogs',
    purpose: 'make ext4 drives',
    steps: ['build'],
    version: ['-V'],
    // Release notes of 1.47.0.
    minimum: { version: '1.47.0', lacks: 'the option assume_storage_prezeroed' },
  },
  debugfs: {
    package: 'e2fsprogs',
    purpose: 'read ext4 drives without mounting them',
    steps: ['build', 'logs', 'drive'],
    version: ['-V'],
  },
  e2fsck: {
    package: 'e2fsprogs',
    purpose: 'check an ext4 drive or replay its journal',
    steps: ['import', 'drive'],
    version: ['-V'],
  },
  nbdfuse: {
    package: 'libnbd-bin',
    purpose: 'show a drive as a file',
    steps: ['drive', 'mount'],
  },
  fuse2fs: { package: 'fuse2fs', purpose: 'mount ext4 in user space', steps: ['mount'], version: ['-V'] },
  fusermount3: {
    package: 'fuse3',
    purpose: 'mount in user space',
    steps: ['drive', 'mount'],
    version: ['-V'],
  },
  resize2fs: {
    package: 'e2fsprogs',
    purpose: 'resize the file system of a drive',
    steps: ['drive'],
    version: false,
  },
  setpriv: { package: 'util-linux', purpose: 'end helpers with this process', steps: ['drive'] },
  depmod: { package: 'kmod', purpose: 'index the kernel modules of an imported base', steps: ['import'] },
  fakeroot: { package: 'fakeroot', purpose: 'make drives that root owns', steps: ['build'] },
  mmdebstrap: {
    package: 'mmdebstrap',
    purpose: 'build the default base, or firmware',
    steps: ['base'],
    minimum: { version: '0.7.0', lacks: 'the option --format' },
  },
  newuidmap: {
    package: 'uidmap',
    purpose: 'build or complete a base as an ordinary account',
    steps: ['base', 'complete'],
    unlessRoot: true,
    version: false,
  },
  newgidmap: {
    package: 'uidmap',
    purpose: 'complete a base as an ordinary account',
    steps: ['complete'],
    unlessRoot: true,
    version: false,
  },
  unshare: {
    package: 'util-linux',
    purpose: 'build or complete a base in namespaces of its own',
    steps: ['base', 'complete'],
  },
  nsenter: { package: 'util-linux', purpose: 'complete a base apart from the host', steps: ['complete'] },
  keyctl: {
    package: 'keyutils',
    purpose: "complete a base apart from the account's keys",
    steps: ['complete'],
  },
  'apt-get': { package: 'apt', purpose: 'fetch packages', steps: ['base', 'firmware'] },
  'dpkg-query': {
    package: 'dpkg',
    purpose: 'tell which package installed firmware is from',
    steps: ['firmware'],
  },
  'dpkg-deb': { package: 'dpkg', purpose: 'open the firmware package', steps: ['firmware'] },
  cpio: {
    package: 'cpio',
    purpose: 'pack the initrd',
    steps: ['build'],
    minimum: { version: '2.12', lacks: 'the option --reproducible' },
  },
  zstd: { package: 'zstd', purpose: 'compress the initrd and read zstd archives', steps: ['build'] },
  xz: { package: 'xz-utils', purpose: 'look inside the firmware and read xz archives', steps: ['build'] },
  openssl: {
    package: 'openssl',
    purpose: "make the development key broker's certificates",
    steps: ['development', 'boot'],
    version: ['version'],
  },
  tar: { package: 'tar', purpose: 'unpack parts of the base', steps: ['build'] },
  flock: { package: 'util-linux', purpose: 'lock shared files', steps: ['build'] },
  busybox: {
    package: 'busybox-static',
    purpose: 'make the quickstart workload',
    steps: ['boot', 'quickstart'],
    version: ['--help'],
  },
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
  return locate(name, tools[name]);
}

/** The same for a row of the table, or a row like them. */
export function locate(name: string, tool: Tool): string | undefined {
  if (tool.path !== undefined && isProgram(tool.path)) return tool.path;
  return which(name);
}

/**
 * The package that holds a tool on this release: Debian from 13 on and Ubuntu from 24.04 on have moved some programs into
 * packages of their own.
 * @param osRelease text of os-release(5); this machine's unless told otherwise
 */
export function packageOf(tool: Tool, osRelease = readOsRelease()): string {
  const field = (name: string) => new RegExp(`^${name}="?([^"\\n]*)"?$`, 'm').exec(osRelease)?.[1] ?? '';
  const since: Record<string, number> = { debian: 13, ubuntu: 24.04 };
  const first = since[field('ID')];
  // Debian's testing and sid have no VERSION_ID.
  const version = field('VERSION_ID') === '' ? Number.POSITIVE_INFINITY : Number(field('VERSION_ID'));
  return first !== undefined && version >= first ? (tool.newPackage ?? tool.package) : tool.package;
}

function readOsRelease(): string {
  try {
    return readFileSync('/etc/os-release', 'utf8');
  } catch {
    return '';
  }
}

/** The command that installs packages. */
export function installCommand(packages: readonly string[]): string {
  return `apt-get install ${packages.join(' ')}`;
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
    hint: `${installCommand([packageOf(tool)])}; "cvm doctor" shows what else is missing`,
    status: exitStatus.usage,
  });
}

/** Packages of those tools that are not installed, sorted, each once. */
export function missingPackages(names: ToolName[] = Object.keys(tools) as ToolName[]): string[] {
  const missing = names
    .filter((name) => locateTool(name) === undefined)
    .map((name) => packageOf(tools[name]));
  return [...new Set(missing)].sort();
}

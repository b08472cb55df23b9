/** What becomes of a path of an imported system: kept as it is, left out, or kept without content. */
export type Fate = 'keep' | 'drop' | 'empty';

/** Folders whose content belongs to a running system, or to one installation of it. */
const emptied = [
  'boot',
  'lost+found',
  'proc',
  'run',
  'sys',
  'tmp',
  'var/tmp',
  // Instance data of cloud-init: host keys and passwords of the machine the image was made on.
  'var/lib/cloud',
  'var/lib/dhcp',
  'var/lib/systemd/coredump',
];

/** Folders that keep their folders, but no files: programs look for theirs. */
const withoutFiles = ['var/log', 'var/cache'];

const dropped = new Set([
  'etc/hostname',
  'etc/resolv.conf',
  'var/lib/dbus/machine-id',
  'var/lib/systemd/random-seed',
  'var/lib/systemd/credential.secret',
  'swapfile',
  'swap.img',
  // Ours take their places, see `addedFiles`.
  'usr/share/cvm-packages.tsv',
]);

/** systemd takes an empty machine-id for one that is made at boot; nothing of the image's own drives is mounted. */
const blank = new Set(['etc/machine-id', 'etc/fstab', 'etc/crypttab']);

const below = (path: string, folder: string) => path.startsWith(`${folder}/`);

/**
 * @param path in the tree, without leading slash
 * @param isFolder true for a directory
 */
export function fateOf(path: string, isFolder: boolean): Fate {
  if (dropped.has(path) || /^etc\/ssh\/ssh_host_[^/]*$/.test(path)) return 'drop';
  if (emptied.some((folder) => below(path, folder)) || path === 'lost+found') return 'drop';
  if (/\/lost\+found$/.test(path) && isFolder) return 'drop';
  if (!isFolder && withoutFiles.some((folder) => below(path, folder))) return 'drop';
  if (below(path, 'usr/lib/modules')) return 'drop';
  return blank.has(path) ? 'empty' : 'keep';
}

/** A mount of the OCI runtime specification (config.md, "Mounts"). */
export interface Mount {
  destination: string;
  type: string;
  source: string;
  options: string[];
}

export interface MountSettings {
  /** True where the container may write to the `user_data` drive. */
  userDataWritable: boolean;
  /** True to give the container `/host/bin/snpguest`. */
  hostBin: boolean;
}

function bind(source: string, destination: string, ...options: string[]): Mount {
  return { destination, type: 'bind', source, options: ['rbind', ...options] };
}

/**
 * Kernel file systems, as Docker mounts them, but for the size of `/dev/shm`: there is no `--shm-size` here, and Docker's
 * 64 MiB are too few for PyTorch's data loaders. `/tmp` is the image's own, in the writable layer, which is in RAM.
 */
const kernelMounts: readonly Mount[] = [
  { destination: '/proc', type: 'proc', source: 'proc', options: ['nosuid', 'noexec', 'nodev'] },
  {
    destination: '/dev',
    type: 'tmpfs',
    source: 'tmpfs',
    options: ['nosuid', 'strictatime', 'mode=755', 'size=65536k'],
  },
  {
    destination: '/dev/pts',
    type: 'devpts',
    source: 'devpts',
    options: ['nosuid', 'noexec', 'newinstance', 'ptmxmode=0666', 'mode=0620', 'gid=5'],
  },
  {
    destination: '/dev/shm',
    type: 'tmpfs',
    source: 'shm',
    options: ['nosuid', 'noexec', 'nodev', 'mode=1777', 'size=25%'],
  },
  { destination: '/dev/mqueue', type: 'mqueue', source: 'mqueue', options: ['nosuid', 'noexec', 'nodev'] },
  { destination: '/sys', type: 'sysfs', source: 'sysfs', options: ['nosuid', 'noexec', 'nodev', 'ro'] },
  {
    destination: '/sys/fs/cgroup',
    type: 'cgroup',
    source: 'cgroup',
    options: ['nosuid', 'noexec', 'nodev', 'relatime', 'ro'],
  },
];

/** Where snpguest is in the container. */
export const hostBinFolder = '/host/bin';

/**
 * snpguest and what it runs with: programs and libraries of the guest, so that it runs in any image, and the socket of the
 * report service. The attestation device is not among them.
 */
const hostBinMounts: readonly Mount[] = [
  bind('/usr/lib/cvm/host-bin', hostBinFolder, 'ro', 'nosuid', 'nodev'),
  bind('/usr/bin/busybox', `${hostBinFolder}/busybox`, 'ro', 'nosuid', 'nodev'),
  bind('/usr/bin/curl', `${hostBinFolder}/libexec/curl`, 'ro', 'nosuid', 'nodev'),
  bind('/usr/lib/x86_64-linux-gnu', '/host/lib', 'ro', 'nosuid', 'nodev'),
  bind('/run/cvm/report', '/host/run', 'ro', 'nosuid', 'nodev', 'noexec'),
];

/** All mounts of the workload's container. Sources are paths of the guest. */
export function mountsFor({ userDataWritable, hostBin }: MountSettings): Mount[] {
  const drive = ['nosuid', 'nodev'];
  return [
    ...kernelMounts,
    bind('/run/cvm/user_config', '/user_config', 'ro', ...drive),
    // rslave: a share that the guest mounts below it later shows in the container, never the other way.
    bind('/user_data', '/user_data', userDataWritable ? 'rw' : 'ro', ...drive, 'noexec', 'rslave'),
    bind('/applog', '/applog', 'rw', ...drive, 'noexec'),
    bind('/vault', '/vault', 'rw', ...drive),
    ...['hosts', 'resolv.conf', 'hostname'].map((file) =>
      bind(`/run/cvm/etc/${file}`, `/etc/${file}`, 'ro', ...drive, 'noexec'),
    ),
    ...(hostBin ? hostBinMounts : []),
  ];
}

/** A hook of the OCI runtime specification (config.md, "POSIX-platform Hooks"). */
export interface Hook {
  path: string;
  args: string[];
}

/**
 * Hooks that forbid following symbolic links on the drives the host writes: a link it plants there would send what the
 * workload logs to any file of the container. crun 1.8 mounts every bind anew, which clears the guest's own
 * `nosymfollow`, and knows no such option, so it is set again in the container's mount namespace before the container
 * starts. A hook that fails stops the container.
 * @param rootfs the container's root as the guest sees it
 */
export function noSymlinkHooks(rootfs: string, { userDataWritable }: MountSettings): Hook[] {
  const remount = (path: string, access: string): Hook => ({
    path: '/usr/bin/mount',
    args: ['mount', '-c', '-o', `remount,bind,${access},nosymfollow,nosuid,nodev,noexec`, `${rootfs}${path}`],
  });
  return [remount('/applog', 'rw'), remount('/user_data', userDataWritable ? 'rw' : 'ro')];
}

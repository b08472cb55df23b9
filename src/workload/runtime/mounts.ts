/** A mount of the OCI runtime specification (config.md, "Mounts"). */
export interface Mount {
  destination: string;
  type: string;
  source: string;
  options: string[];
}

export interface MountSettings {
  /** True to give the container `/host/bin/snpguest`. */
  hostBin: boolean;
  /** True to give it a mount point for an NFS share, below the drive `user_data`. */
  share?: boolean;
}

function bind(source: string, destination: string, ...options: string[]): Mount {
  return { destination, type: 'bind', source, options: ['bind', ...options] };
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
  {
    destination: '/sys/fs/cgroup',
    type: 'cgroup',
    source: 'cgroup',
    options: ['nosuid', 'noexec', 'nodev', 'relatime', 'ro'],
  },
];

/** Files of the VM in the place of the image's. Where one of these is a link, crun follows it inside of the image, as Docker does. */
const fileMounts: readonly Mount[] = ['hosts', 'resolv.conf', 'hostname'].map((file) =>
  bind(`/run/cvm/etc/${file}`, `/etc/${file}`, 'ro', 'nosuid', 'nodev', 'noexec'),
);

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

/**
 * Where an NFS share appears, whenever it comes (templates/site/lock). Without flags of its own the mount keeps those of the VM's, and as
 * a slave it shows what the VM mounts there later, never the other way.
 */
const shareMount = bind('/run/cvm/share-point', '/user_data/mnt', 'rslave');

/** What crun mounts. Sources are paths of the guest. {@link attachedFolders} are there before it starts. */
export function mountsFor({ hostBin, share }: MountSettings): Mount[] {
  return [
    ...kernelMounts,
    ...fileMounts,
    ...(hostBin ? hostBinMounts : []),
    ...(share === true ? [shareMount] : []),
  ];
}

/** What templates/site/attach-mounts mounts below the container's root before crun starts: sysfs and the drives. */
export const attachedFolders = ['/sys', '/user_config', '/user_data', '/applog', '/vault'] as const;

/** Folders into which NVIDIA's CDI specification mounts files of the driver (templates/site/gpu/cdi.jq). */
const gpuFolders = [
  '/usr/bin',
  '/usr/lib/x86_64-linux-gnu',
  '/usr/lib/firmware',
  '/usr/share',
  '/etc',
] as const;

const ofKernel = kernelMounts.map(({ destination }) => destination);
const ofHostBin = ['/host/bin', '/host/lib', '/host/run'];

/**
 * Folders of the container that are mounted over: none of them, and nothing on the way to them, may be a link of the image.
 * @param settings.gpu true where NVIDIA's driver adds its own
 */
export function mountPointsFor({ hostBin, gpu }: MountSettings & { gpu: boolean }): string[] {
  return [...ofKernel, ...attachedFolders, ...(hostBin ? ofHostBin : []), ...(gpu ? gpuFolders : [])];
}

/** {@link mountPointsFor} any container. */
export const allMountPoints = mountPointsFor({ hostBin: true, gpu: true });

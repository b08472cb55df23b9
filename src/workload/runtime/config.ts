import { refuseNoFolders } from '../mount-points.ts';
import seccomp from '../seccomp.json' with { type: 'json' };
import type { Workload } from '../workload.ts';
import { capabilitiesFor, deviceRules, devices, maskedPaths, readonlyPaths, rlimits } from './confinement.ts';
import { hostBinFolder, type MountSettings, mountPointsFor, mountsFor } from './mounts.ts';
import { commandOf, environmentOf, workingDirectoryOf } from './process.ts';
import { resolveUser } from './user.ts';

/** The parts of a `config.json` that others look at. */
export interface RuntimeConfig {
  process: {
    user: { uid: number; gid: number; umask: number; additionalGids: number[] };
    [key: string]: unknown;
  };
  [key: string]: unknown;
}

export interface RuntimeSettings extends MountSettings {
  /** True where the container gets NVIDIA GPUs. */
  gpu: boolean;
  /** Name of the container's host, and value of its `HOSTNAME`. */
  hostname: string;
}

/** Where the guest stacks the layers. */
const rootfs = '/run/cvm/workload/rootfs';

/** The user namespace that the guest makes for the container (templates/site/user-namespace). */
const userNamespace = '/run/cvm/user-namespace';

/**
 * The `config.json` of the OCI bundle that crun runs in the guest (OCI runtime specification 1.0.2).
 *
 * The container runs as Docker would run the image with `--network host`: no network namespace, since the guest's packet
 * filter is the boundary. crun has no defaults for capabilities, system calls or devices, so all are spelled out.
 * `seccomp.json` is Docker's default profile for x86-64 and these capabilities, without io_uring; 32-bit calls are
 * refused whole. Families of sockets are named one by one (1 UNIX, 2 INET, 10 INET6, 16 NETLINK): the filter compares 64
 * bits and the kernel reads 32, so "all but AF_VSOCK" lets 2^32 + 40 pass. So are the protocols of netlink (0 ROUTE, 4 SOCK_DIAG,
 * 12 NETFILTER, 15 KOBJECT_UEVENT, 16 GENERIC): what programs send each other by NETLINK_USERSOCK counts for no memory limit.
 *
 * The container has a user namespace, which the guest makes, so that the kernel need not let anybody make one afterwards. Users
 * and groups in here are the container's.
 * @throws UserError where the image names no program or a user it does not have, or has a link where a folder is mounted over
 */
export function runtimeConfig(
  workload: Pick<Workload, 'config' | 'accounts' | 'noFolders'>,
  settings: RuntimeSettings,
): RuntimeConfig {
  const { config, accounts, noFolders } = workload;
  refuseNoFolders(noFolders, mountPointsFor(settings));
  const { uid, gid, additionalGids, home } = resolveUser(config.config?.User, accounts);
  return {
    ociVersion: '1.0.2',
    hostname: settings.hostname,
    process: {
      terminal: false,
      user: { uid, gid, umask: 0o022, additionalGids },
      args: commandOf(config),
      // FLARE's SNPAuthorizer looks for snpguest on the PATH unless it is told a path.
      env: environmentOf(
        config,
        { home, hostname: settings.hostname },
        settings.hostBin ? hostBinFolder : undefined,
      ),
      cwd: workingDirectoryOf(config),
      capabilities: capabilitiesFor(uid),
      rlimits,
      // Where the VM's memory ends all the same, the container goes first.
      oomScoreAdj: 1000,
      // As Docker has it: set-user-id programs of the image work.
      noNewPrivileges: false,
    },
    root: { path: rootfs, readonly: false },
    mounts: mountsFor(settings),
    linux: {
      // crun's default is private: a share mounted below /user_data later would not show.
      rootfsPropagation: 'rslave',
      namespaces: [
        { type: 'user', path: userNamespace },
        ...['pid', 'ipc', 'uts', 'mount', 'cgroup'].map((type) => ({ type })),
      ],
      devices,
      // Where the guest's own device rules hold as well: container.slice.
      cgroupsPath: '/container.slice/workload',
      resources: { devices: deviceRules },
      maskedPaths,
      readonlyPaths,
      seccomp,
    },
  };
}

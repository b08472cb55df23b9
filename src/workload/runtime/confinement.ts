/**
 * Docker's default capabilities less two. By `CAP_NET_RAW` a raw socket sends past the guest's packet filter; by `CAP_AUDIT_WRITE` a
 * program's words appear on the guest's console as the kernel's. All count within the container's user namespace alone.
 */
const capabilities = [
  'CAP_CHOWN',
  'CAP_DAC_OVERRIDE',
  'CAP_FOWNER',
  'CAP_FSETID',
  'CAP_KILL',
  'CAP_MKNOD',
  'CAP_NET_BIND_SERVICE',
  'CAP_SETFCAP',
  'CAP_SETGID',
  'CAP_SETPCAP',
  'CAP_SETUID',
  'CAP_SYS_CHROOT',
];

/** Other users than root hold none until a file's capabilities grant them, as `execve` would have it. */
export function capabilitiesFor(uid: number): Record<string, string[]> {
  const held = uid === 0 ? capabilities : [];
  return { bounding: capabilities, permitted: held, effective: held, inheritable: [], ambient: [] };
}

/** Open files as Docker's service allows; no core dumps, which could carry secrets to a drive. */
export const rlimits = [
  { type: 'RLIMIT_NOFILE', hard: 1048576, soft: 1048576 },
  { type: 'RLIMIT_CORE', hard: 0, soft: 0 },
];

/** Character devices that exist in the container: [path, major, minor] (Linux, admin-guide/devices.txt). */
const nodes: readonly [string, number, number][] = [
  ['/dev/null', 1, 3],
  ['/dev/zero', 1, 5],
  ['/dev/full', 1, 7],
  ['/dev/random', 1, 8],
  ['/dev/urandom', 1, 9],
  ['/dev/tty', 5, 0],
];

export const devices = nodes.map(([path, major, minor]) => ({
  path,
  type: 'c',
  major,
  minor,
  fileMode: 0o666,
  uid: 0,
  gid: 0,
}));

/**
 * The device cgroup: everything is denied but Docker's list, so a node made for another device (`/dev/sev-guest`, the
 * drives) opens to nobody. Making nodes is allowed, as in Docker; opening them is what counts.
 */
export const deviceRules = [
  { allow: false, access: 'rwm' },
  { allow: true, type: 'c', access: 'm' },
  { allow: true, type: 'b', access: 'm' },
  ...nodes.map(([, major, minor]) => ({ allow: true, type: 'c', major, minor, access: 'rwm' })),
  // /dev/ptmx and the pseudo-terminals. Docker's 5:1 would be the VM's own console here, past the firewall. crun opens it, and
  // 10:200 (tun), to every container by itself; container.slice does not.
  { allow: true, type: 'c', major: 5, minor: 2, access: 'rwm' },
  { allow: true, type: 'c', major: 136, access: 'rwm' },
];

/**
 * Docker's list; configfs, through which attestation reports could be asked for at any privilege level; and what tells of the VM's
 * kernel and memory, or switches its messages on.
 */
export const maskedPaths = [
  '/proc/acpi',
  '/proc/asound',
  '/proc/interrupts',
  '/proc/kcore',
  '/proc/keys',
  '/proc/latency_stats',
  '/proc/sched_debug',
  '/proc/scsi',
  '/proc/timer_list',
  '/proc/timer_stats',
  '/sys/devices/virtual/powercap',
  '/sys/firmware',
  '/sys/kernel/config',
  '/proc/dynamic_debug',
  '/proc/iomem',
  '/proc/ioports',
  '/proc/kallsyms',
  '/proc/kpagecgroup',
  '/proc/kpagecount',
  '/proc/kpageflags',
  '/proc/slabinfo',
  '/proc/vmallocinfo',
  '/sys/kernel/debug',
  '/sys/kernel/security',
  '/sys/kernel/tracing',
];

/** Docker's list. */
export const readonlyPaths = ['/proc/bus', '/proc/fs', '/proc/irq', '/proc/sys', '/proc/sysrq-trigger'];

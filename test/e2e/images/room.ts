import type { programCalling } from './program.ts';

/** Numbers of system calls that a container must not get through. */
export const refusedCalls: Record<string, Parameters<typeof programCalling>> = {
  'packet-socket': [41, 17, 3, 0x0300],
  'raw-socket': [41, 2, 3, 1],
  vsock: [41, 40, 1, 0],
  // The kernel reads 32 of the 64 bits.
  'vsock-by-64-bits': [41, 2 ** 32 + 40, 1, 0],
  // By it programs fill the VM's memory past the container's limit.
  'netlink-usersock': [41, 16, 3, 2],
  'new-user-namespace': [272, 0x1000_0000],
  bpf: [321, 0, 0, 0],
  keyctl: [250, 0, 0, 0],
  'init-module': [175, 0, 0, 0],
  reboot: [169, 0xfee1dead, 672274793, 0x89abcdef],
  'io-uring': [425, 1, 0, 0],
  // A call that works, with a known result: who runs it is the container's first user.
  getuid: [102],
};

/** What the container's first process was given, in order, as `audit.sh` prints it. */
export function environment(...more: string[]): string {
  const all = [
    'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
    'HOSTNAME=site-1',
    ...more,
  ];
  return `environment ${Buffer.from(all.map((variable) => `${variable}\0`).join('')).toString('base64')}`;
}

/** A user that is not root holds no capabilities, and may get those of a container by set-id programs. */
export const asUser = [
  'capabilities Prm 0000000000000000',
  'capabilities Eff 0000000000000000',
  'capabilities Bnd 00000000880405fb',
];

/** The answers of `probes.sh`: first what must not work, then what must. 255 is EPERM. */
export const roomSays = [
  ...Object.keys(refusedCalls).map((name) => `probe ${name} ${name === 'getuid' ? 0 : 255}`),
  ...['vda', 'sev-guest', 'mem', 'kmsg', 'fuse', 'console', 'tun'].map(
    (device) => `tried reading ${device} failed`,
  ),
  ...[
    '/proc/sys',
    '/proc/sysrq-trigger',
    '/sys',
    '/sys/fs/cgroup',
    '/etc/hosts',
    '/user_config',
    '/user_data',
  ].map((path) => `tried writing ${path} failed`),
  'tried running from /applog failed',
  'tried a packet socket failed',
  'tried mount failed',
  'masked 0',
  'kcore 0',
  'tried reading /dev/urandom worked',
  'tried writing /applog worked',
  'tried writing /vault worked',
  'tried listening at port 80 worked',
];

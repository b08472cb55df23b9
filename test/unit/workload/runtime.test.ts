import { describe, expect, it } from 'vitest';
import { type RuntimeSettings, runtimeConfig, type Workload } from '../../../src/workload/index.ts';
import { attachedFolders } from '../../../src/workload/runtime/mounts.ts';
import { resolveUser } from '../../../src/workload/runtime/user.ts';

const accounts = {
  passwd: 'root:x:0:0:root:/root:/bin/sh\napp:x:1000:1001::/home/app:/bin/sh\nbroken\n1234:x:77:78::/n:\n',
  group: 'root:x:0:\n007:x:700:\napp:x:1001:\nwheel:x:10:app,root\nvideo:x:44:app\n',
};

describe('resolveUser', () => {
  it.each([
    [undefined, { uid: 0, gid: 0, additionalGids: [0, 10], home: '/root' }],
    ['', { uid: 0, gid: 0, additionalGids: [0, 10], home: '/root' }],
    ['app', { uid: 1000, gid: 1001, additionalGids: [1001, 10, 44], home: '/home/app' }],
    ['1000', { uid: 1000, gid: 1001, additionalGids: [1001, 10, 44], home: '/home/app' }],
    ['app:video', { uid: 1000, gid: 44, additionalGids: [44], home: '/home/app' }],
    ['1000:5000', { uid: 1000, gid: 5000, additionalGids: [5000], home: '/home/app' }],
    ['4000', { uid: 4000, gid: 0, additionalGids: [0], home: '/' }],
    ['4000:4001', { uid: 4000, gid: 4001, additionalGids: [4001], home: '/' }],
    // There is a user of this name: a number is never a name.
    ['1234', { uid: 1234, gid: 0, additionalGids: [0], home: '/' }],
    ['77', { uid: 77, gid: 78, additionalGids: [78], home: '/n' }],
    ['app:007', { uid: 1000, gid: 7, additionalGids: [7], home: '/home/app' }],
  ])('takes %s as Docker does', (user, expected) => {
    expect(resolveUser(user, accounts)).toEqual(expected);
  });

  it.each([
    ['nobody', '/etc/passwd'],
    ['app:nogroup', '/etc/group'],
    ['a:b:c', 'colon'],
    ['99999999999', '/etc/passwd'],
    ['-1', '/etc/passwd'],
  ])('refuses %s, naming the file', (user, message) => {
    expect(() => resolveUser(user, accounts)).toThrow(message);
  });

  it('runs as root where the image has no accounts, and refuses names', () => {
    expect(resolveUser('', {})).toEqual({ uid: 0, gid: 0, additionalGids: [0], home: '/' });
    expect(() => resolveUser('app', {})).toThrow('(it has none)');
  });
});

interface Config {
  hostname: string;
  process: {
    args: string[];
    env: string[];
    cwd: string;
    capabilities: Record<string, string[]>;
    noNewPrivileges: boolean;
  };
  mounts: { destination: string; source: string; options: string[] }[];
  linux: {
    namespaces: { type: string; path?: string }[];
    maskedPaths: string[];
    resources: {
      devices: { allow: boolean; type?: string; major?: number; minor?: number; access: string }[];
    };
    devices: { path: string }[];
    seccomp: {
      defaultAction: string;
      syscalls: { names: string[]; action: string; args?: { value: number; op: string }[] }[];
    };
  };
}

function configOf(
  config: Record<string, unknown>,
  settings: Partial<RuntimeSettings> = {},
  noFolders: Workload['noFolders'] = [],
): Config {
  const image = { architecture: 'amd64', os: 'linux', config, rootfs: { diff_ids: [] } };
  return runtimeConfig(
    { config: image, accounts, noFolders },
    { hostname: 'site-1', hostBin: true, gpu: false, ...settings },
  ) as unknown as Config;
}

describe('runtimeConfig', () => {
  const run = { Cmd: ['sleep', '1'] };

  it('starts the entry point with the command as its arguments', () => {
    expect(configOf({ Entrypoint: ['/init', '-v'], Cmd: ['x'] }).process.args).toEqual(['/init', '-v', 'x']);
    expect(configOf({ Entrypoint: null, Cmd: ['x'] }).process.args).toEqual(['x']);
  });

  it('refuses an image without a program', () => {
    expect(() => configOf({})).toThrow('neither an entry point nor a command');
    expect(() => configOf({ Cmd: [] })).toThrow('neither an entry point nor a command');
  });

  it('gives PATH, HOSTNAME and HOME, and lets the image replace them', () => {
    expect(configOf({ ...run, User: 'app' }, { hostBin: false }).process.env).toEqual([
      'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
      'HOSTNAME=site-1',
      'HOME=/home/app',
    ]);
    const own = configOf({ ...run, Env: ['PATH=/x', 'A=b=c', 'HOME=/h'] }, { hostBin: false });
    expect(own.process.env).toEqual(['PATH=/x', 'HOSTNAME=site-1', 'HOME=/h', 'A=b=c']);
  });

  it('ends PATH with /host/bin where snpguest is there', () => {
    const pathOf = (...env: string[]) => configOf({ ...run, Env: env }).process.env[0];
    expect(pathOf()).toBe('PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/host/bin');
    expect(pathOf('PATH=/x')).toBe('PATH=/x:/host/bin');
    expect(pathOf('PATH=/host/bin:/x')).toBe('PATH=/host/bin:/x');
    expect(pathOf('PATH=')).toBe('PATH=/host/bin');
  });

  it('keeps odd values of variables, and leaves out what is no variable', () => {
    const env = configOf({ ...run, Env: ['Q="a b"', 'N=1\n2', 'E=', 'X', '=y', 'D=$HOME', 'ü=é'] }).process
      .env;
    expect(env.slice(3)).toEqual(['Q="a b"', 'N=1\n2', 'E=', 'D=$HOME', 'ü=é']);
  });

  it('leaves /tmp to the image, and gives shared memory a share of the RAM', () => {
    const { mounts } = configOf(run);
    expect(mounts.map(({ destination }) => destination)).not.toContain('/tmp');
    expect(mounts.find(({ destination }) => destination === '/dev/shm')?.options).toContain('size=25%');
  });

  it('names the container as the guest', () => {
    expect(configOf(run)).toMatchObject({ hostname: 'site-1' });
  });

  it('makes the working directory absolute', () => {
    expect(configOf(run).process.cwd).toBe('/');
    expect(configOf({ ...run, WorkingDir: 'w' }).process.cwd).toBe('/w');
  });

  it('holds no raw sockets and no administration, and nothing effective for other users than root', () => {
    const { capabilities } = configOf(run).process;
    expect(capabilities.bounding).toHaveLength(12);
    for (const name of [
      'CAP_NET_RAW',
      'CAP_AUDIT_WRITE',
      'CAP_NET_ADMIN',
      'CAP_SYS_ADMIN',
      'CAP_SYS_MODULE',
      'CAP_SYS_PTRACE',
      'CAP_BPF',
    ]) {
      expect(Object.values(capabilities).flat()).not.toContain(name);
    }
    const user = configOf({ ...run, User: 'app' }).process.capabilities;
    expect([user.effective, user.permitted, user.inheritable, user.ambient]).toEqual([[], [], [], []]);
  });

  it('shares the network of the guest and nothing else, and joins the user namespace that the guest made', () => {
    const { namespaces } = configOf(run).linux;
    expect(namespaces[0]).toEqual({ type: 'user', path: '/run/cvm/user-namespace' });
    expect(namespaces.map(({ type }) => type)).toEqual(['user', 'pid', 'ipc', 'uts', 'mount', 'cgroup']);
  });

  it('denies devices first, and has neither /dev/sev-guest nor a rule that could open it', () => {
    const { devices, resources } = configOf(run).linux;
    expect(resources.devices[0]).toEqual({ allow: false, access: 'rwm' });
    expect(devices.map(({ path }) => path)).not.toContain('/dev/sev-guest');
    // Misc devices, sev-guest among them, have major number 10.
    for (const rule of resources.devices.slice(1)) {
      const opens = /[rw]/.test(rule.access);
      expect(opens && (rule.major === undefined || rule.major === 10 || rule.type !== 'c')).toBe(false);
    }
  });

  it('mounts no drive: they are there before, with the flags of the guest, which crun would clear', () => {
    const config = configOf(run);
    for (const { destination, source } of config.mounts) {
      expect(attachedFolders).not.toContain(destination);
      expect(source).not.toMatch(/^\/(?:applog|vault|user_data)|user_config/);
    }
    expect(config).not.toHaveProperty('hooks');
  });

  it.each([
    ['dev', 'link', '/dev is a symbolic link in layer 2 of the image'],
    ['applog', 'file', '/applog is a file in layer 2 of the image'],
    ['vault', 'other', '/vault is neither file nor folder in layer 2 of the image'],
    ['sys/fs', 'link', '/sys/fs is a symbolic link in layer 2 of the image'],
    ['host', 'link', '/host is a symbolic link in layer 2 of the image'],
  ] as const)('refuses an image whose %s is a %s', (path, kind, message) => {
    expect(() => configOf(run, {}, [{ path, kind, layer: 2 }])).toThrow(message);
  });

  it('refuses a link only where this container has something mounted', () => {
    const link = (path: string) => [{ path, kind: 'link', layer: 1 } as const];
    expect(() => configOf(run, { hostBin: false }, link('host'))).not.toThrow();
    expect(() => configOf(run, { gpu: false }, link('usr/bin'))).not.toThrow();
    expect(() => configOf(run, { gpu: true }, link('usr/bin'))).toThrow('/usr/bin is a symbolic link');
    // Names that begin alike are others.
    expect(() => configOf(run, {}, link('app'))).not.toThrow();
  });

  it('hides what tells of the kernel of the guest', () => {
    const { maskedPaths } = configOf(run).linux;
    for (const name of ['dynamic_debug', 'slabinfo', 'kpagecount', 'kpageflags', 'iomem', 'kallsyms'])
      expect(maskedPaths).toContain(`/proc/${name}`);
  });

  it('shows /host/bin only when asked to', () => {
    const shown = (config: Config) =>
      config.mounts.filter(({ destination }) => destination.startsWith('/host/'));
    expect(shown(configOf(run)).map(({ destination }) => destination)).toEqual([
      '/host/bin',
      '/host/bin/busybox',
      '/host/bin/libexec/curl',
      '/host/lib',
      '/host/run',
    ]);
    for (const { options } of shown(configOf(run))) {
      expect(options).toEqual(expect.arrayContaining(['ro', 'nosuid', 'nodev']));
    }
    expect(shown(configOf(run, { hostBin: false }))).toEqual([]);
  });

  it('refuses system calls by default, and those that reach the kernel’s inner parts by absence', () => {
    const { seccomp } = configOf(run).linux;
    expect(seccomp.defaultAction).toBe('SCMP_ACT_ERRNO');
    const allowed = seccomp.syscalls
      .filter(({ action, args }) => action === 'SCMP_ACT_ALLOW' && !args)
      .flatMap(({ names }) => names);
    expect(new Set(allowed).size).toBe(allowed.length);
    for (const name of 'mount unshare setns bpf keyctl init_module kexec_load io_uring_setup clone clone3 socket perf_event_open userfaultfd'.split(
      ' ',
    )) {
      expect(allowed).not.toContain(name);
    }
    for (const name of ['execve', 'openat', 'mmap', 'futex', 'rseq', 'ptrace'])
      expect(allowed).toContain(name);
    // AF_VSOCK (40) would reach the host past the packet filter. Only whole values that are named pass.
    const families = seccomp.syscalls.filter(({ names }) => names.includes('socket'));
    expect(families.map(({ names, args }) => [names, args])).toEqual(
      [[1], [2], [10], [16, 0], [16, 4], [16, 12], [16, 15], [16, 16]].map((values) => [
        ['socket'],
        values.map((value, index) => ({ index: 2 * index, value, valueTwo: 0, op: 'SCMP_CMP_EQ' })),
      ]),
    );
    // Of netlink's protocols not USERSOCK (2), whose buffers count for no memory limit.
  });
});

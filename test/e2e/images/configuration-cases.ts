import { accounts, base, type ImageCase, run, script } from './base.ts';
import { file, folder, latin1, program, symlink } from './layers.ts';
import { programCalling } from './program.ts';
import { asUser, environment, refusedCalls, roomSays } from './room.ts';

/** Images about what their configuration says: program, environment, folder, user. */
export const configurationCases: readonly ImageCase[] = [
  {
    name: 'exec-root',
    layers: [
      [
        ...base,
        folder('probe'),
        file('probe/all', script('probes.sh')),
        ...Object.entries(refusedCalls).map(([name, call]) =>
          program(`probe/call-${name}`, programCalling(...call)),
        ),
      ],
    ],
    config: {
      Entrypoint: ['/audit', 'two words'],
      Cmd: ['', '$HOME', '"quoted"', 'ünï'],
      Env: ['ODD= a=b "c" $d \\e', 'LINES=one\ntwo', 'EMPTY=', 'ÜMLAUT=ß', 'NOTHING', 'TWICE=1', 'TWICE=2'],
      WorkingDir: '/made/by/the/runtime',
      ExposedPorts: { '80/tcp': {} },
      Labels: { a: 'b' },
      Healthcheck: { Test: ['CMD', '/bin/false'] },
      StopSignal: 'SIGINT',
    },
    says: [
      'argument two words',
      'argument ',
      'argument $HOME',
      'argument "quoted"',
      latin1('argument ünï'),
      'ids 0 0 0',
      'pwd /made/by/the/runtime',
      environment('HOME=/', 'ODD= a=b "c" $d \\e', 'LINES=one\ntwo', 'EMPTY=', 'ÜMLAUT=ß', 'TWICE=2'),
      'capabilities Eff 00000000880405fb',
      ...roomSays,
    ],
    makes: [
      'made/by/the/runtime',
      'probe/vda',
      'probe/sev-guest',
      'probe/mem',
      'probe/kmsg',
      'probe/fuse',
      'probe/console',
      'probe/tun',
    ],
  },
  {
    name: 'user-by-name',
    layers: [
      [
        ...base,
        folder('etc'),
        file('etc/passwd', 'app:x:5:5::/wrong:/bin/sh\n'),
        folder('srv'),
        folder('srv/app', 0o755, { uid: 1000, gid: 1001 }),
        symlink('app', 'srv/app'),
      ],
      accounts,
    ],
    config: { ...run, User: 'app', WorkingDir: '/app', Cmd: ['x'] },
    says: [
      'argument x',
      'ids 1000 1001 1001 10 44',
      'pwd /srv/app',
      environment('HOME=/home/app'),
      ...asUser,
    ],
  },
  {
    name: 'user-by-number',
    layers: [[...base, ...accounts]],
    config: { User: '1234', Cmd: ['/bin/sh', '-c', 'exec /audit "from a shell"'] },
    says: ['argument from a shell', 'ids 1234 0 0', 'pwd /', ...asUser],
  },
  {
    name: 'user-and-group',
    layers: [[...base, ...accounts]],
    config: { User: 'app:video', Entrypoint: ['/bin/sh', '-c', 'exec /audit "$0"'], Cmd: ['from $0'] },
    says: ['argument from $0', 'ids 1000 44 44', 'pwd /', ...asUser],
  },
  {
    name: 'numbers-of-nobody',
    layers: [[...base, ...accounts]],
    config: { ...run, User: '4000:4001', WorkingDir: 'relative' },
    says: ['ids 4000 4001 4001', 'pwd /relative', environment('HOME=/'), ...asUser],
    makes: ['relative'],
  },
];

import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Item, layerOf } from '../../integration/workload/images.ts';
import { programCalling } from './program.ts';

/** A layer as tar entries, or, where another tool writes it, as a tar stream whose names begin with a prefix. */
export type CaseLayer = Item[] | ((prefix: string) => Buffer);

/** One image of the parity tests. */
export interface ImageCase {
  name: string;
  /** Bottom first. */
  layers: CaseLayer[];
  /** `config` of the image configuration. */
  config: object;
  /** Lines that `audit.sh` must print, beside those of every container. */
  says: string[];
  /** Paths that the container makes, beside the points of its mounts. */
  makes?: string[];
}

const script = (name: string) => readFileSync(join(import.meta.dirname, name));
const latin1 = (text: string) => Buffer.from(text).toString('latin1');

const folder = (name: string, mode = 0o755, more: Item[1] = {}): Item => [
  `${name}/`,
  { type: 'directory', mode, ...more },
];
const file = (name: string, body: string | Buffer = name, more: Item[1] = {}): Item => [
  name,
  { body, ...more },
];
const program = (name: string, body: string | Buffer, mode = 0o755): Item => [name, { body, mode }];
const symlink = (name: string, linkName: string): Item => [name, { type: 'symlink', linkName, mode: 0o777 }];
const hardLink = (name: string, linkName: string): Item => [name, { type: 'hard link', linkName }];
const whiteout = (name: string): Item => [name.replace(/([^/]*)$/, '.wh.$1'), {}];
const opaque = (name: string): Item => [`${name}/.wh..wh..opq`, {}];

/** What every image has: busybox from this machine, and the audit. */
export const base: Item[] = [
  folder('bin'),
  program('bin/busybox', readFileSync('/bin/busybox')),
  symlink('bin/sh', 'busybox'),
  program('audit', script('audit.sh')),
  program('list', script('list.sh')),
];

const accounts: Item[] = [
  folder('etc'),
  file(
    'etc/passwd',
    'root:x:0:0:root:/root:/bin/sh\napp:x:1000:1001::/home/app:/bin/sh\n1234:x:77:78::/n:/bin/sh\n',
  ),
  file('etc/group', 'root:x:0:\napp:x:1001:\nwheel:x:10:app\nvideo:x:44:app,root\n007:x:700:\n'),
];

const run = { Entrypoint: ['/audit'] };

/** Numbers of system calls that a container must not get through. */
const refusedCalls: Record<string, Parameters<typeof programCalling>> = {
  'packet-socket': [41, 17, 3, 0x0300],
  'raw-socket': [41, 2, 3, 1],
  vsock: [41, 40, 1, 0],
  'new-user-namespace': [272, 0x1000_0000],
  bpf: [321, 0, 0, 0],
  keyctl: [250, 0, 0, 0],
  'init-module': [175, 0, 0, 0],
  reboot: [169, 0xfee1dead, 672274793, 0x89abcdef],
  'io-uring': [425, 1, 0, 0],
  // A call that works, with a known result: who runs it is the container's first user.
  getuid: [102],
};

/** `cap_dac_override+ep`: struct vfs_cap_data, revision 2 (Linux, include/uapi/linux/capability.h). */
const overridesModes = Buffer.from('0100000202000000000000000000000000000000', 'hex');

/** GNU tar's own sparse format, which no other tool here writes. */
function sparseLayer(prefix: string): Buffer {
  const script = `set -e; cd "$(mktemp -d)"; trap 'rm -rf "$PWD"' EXIT; mkdir -p "./$0"
    printf start > "./$0sparse"; truncate -s 3M "./$0sparse"; printf end >> "./$0sparse"; truncate -s 4M "./$0sparse"
    tar -S -b1 --format=posix --sparse-version=1.0 --owner=0 --group=0 --numeric-owner --mode=644 --mtime=@1600000000 \\
      --pax-option=delete=atime,delete=ctime,exthdr.name=x -cf - "$0sparse"`;
  return execFileSync('sh', ['-c', script, prefix], { maxBuffer: 2 ** 24 });
}

const deep = Array.from({ length: 60 }, (_, i) => `${i}`.padStart(20, 'd')).join('/');

/** What the container's first process was given, in order, as `audit.sh` prints it. */
function environment(...more: string[]): string {
  const all = [
    'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
    'HOSTNAME=site-1',
    ...more,
  ];
  return `environment ${Buffer.from(all.map((variable) => `${variable}\0`).join('')).toString('base64')}`;
}

/** A user that is not root holds no capabilities, and may get those of a container by set-id programs. */
const asUser = [
  'capabilities Prm 0000000000000000',
  'capabilities Eff 0000000000000000',
  'capabilities Bnd 00000000a80405fb',
];

/** The answers of `probes.sh`: first what must not work, then what must. 255 is EPERM. */
const roomSays = [
  ...Object.keys(refusedCalls).map((name) => `probe ${name} ${name === 'getuid' ? 0 : 255}`),
  ...['vda', 'sev-guest', 'mem', 'kmsg', 'fuse'].map((device) => `tried reading ${device} failed`),
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

/** The images, each with one subject. Together they are what issues of image builders and runtimes are about. */
export const imageCases: readonly ImageCase[] = [
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
      'capabilities Eff 00000000a80405fb',
      ...roomSays,
    ],
    makes: ['made/by/the/runtime', 'probe/vda', 'probe/sev-guest', 'probe/mem', 'probe/kmsg', 'probe/fuse'],
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
  {
    name: 'whiteouts',
    layers: [
      [
        ...base,
        ...['d', 'd/sub', 'e', 'gone', 'gone/deep', 'back'].map((name) => folder(name)),
        ...['a', 'b', 'd/x', 'd/sub/y', 'e/z', 'gone/deep/f', 'back/old', 'twice'].map((name) => file(name)),
        symlink('l', 'd'),
      ],
      [
        whiteout('a'),
        whiteout('d/sub'),
        whiteout('gone'),
        whiteout('l'),
        whiteout('back'),
        whiteout('twice'),
        whiteout('never-there'),
      ],
      [folder('back', 0o700), file('back/new'), file('a', 'again'), whiteout('e'), file('e/inside')],
      [whiteout('a'), folder('gone', 0o711, { uid: 3 }), file('twice', 'third'), whiteout('d/x')],
    ],
    config: run,
    says: ['ids 0 0 0', 'pwd /', environment('HOME=/')],
  },
  {
    name: 'opaque-folders',
    layers: [
      [
        ...base,
        ...['d', 'd/s', 'n', 'n/m', 'was-folder', 'o', 'o/p'].map((name) => folder(name)),
        ...['d/a', 'd/s/b', 'n/m/c', 'was-folder/x', 'was-file', 'o/p/q'].map((name) => file(name)),
        symlink('was-link', 'd'),
      ],
      [opaque('d'), folder('d', 0o750, { uid: 7, gid: 8 }), file('d/new'), opaque('n/m'), file('was-folder')],
      [
        whiteout('was-file'),
        folder('was-link'),
        file('was-link/in'),
        file('d/s', 'a file now'),
        folder('o/p'),
        opaque('o/p'),
        file('o/p/r'),
      ],
      [whiteout('o/p/r'), folder('n/m', 0o1777), file('n/m/c', 'back')],
    ],
    config: run,
    says: ['ids 0 0 0', 'pwd /', environment('HOME=/')],
  },
  {
    name: 'hard-links',
    layers: [
      [
        ...base,
        folder('h'),
        file('h/a', 'one'),
        hardLink('h/b', 'h/a'),
        hardLink('h/c', './h/b'),
        file('h/p', 'pair'),
        hardLink('h/q', '/h/p'),
      ],
      [whiteout('h/b'), file('h/p', 'replaced'), file('h/x', 'new'), hardLink('h/y', 'h/x')],
      [file('h/y', 'parted'), whiteout('h/a')],
    ],
    config: run,
    says: ['ids 0 0 0', 'pwd /', environment('HOME=/')],
  },
  {
    name: 'set-id-and-capabilities',
    layers: [
      [
        ...base,
        ...accounts,
        folder('set'),
        program('set/effective-user', programCalling(107), 0o4755),
        program('set/effective-group', programCalling(108), 0o2755),
        file('set/secret', 'for root alone\n', { mode: 0o600 }),
        [
          'set/cat',
          {
            body: readFileSync('/bin/busybox'),
            mode: 0o755,
            xattrs: new Map([['security.capability', overridesModes]]),
          },
        ],
        folder('set/sticky', 0o1777),
        folder('set/group', 0o2775, { gid: 44 }),
        file('set/plain', 'x', { mode: 0o0, uid: 65534, gid: 4_000_000_000 }),
        ['set/noted', { xattrs: new Map([['user.note', Buffer.from('a\nb')]]) }],
      ],
    ],
    config: {
      User: 'app',
      Cmd: [
        '/bin/sh',
        '-c',
        '/set/effective-user; echo "effective user $?"; /set/effective-group; echo "effective group $?"; /set/cat /set/secret; exec /audit',
      ],
    },
    says: ['effective user 0', 'effective group 0', 'for root alone', 'ids 1000 1001 1001 10 44', ...asUser],
  },
  {
    name: 'names',
    layers: [
      [
        ...base,
        folder('n'),
        ...[
          'ünïcødé',
          '日本語',
          '👍',
          'é composed',
          'e\u0301 combined',
          'n'.repeat(255),
          'ü'.repeat(127),
        ].map((name) => file(`n/${latin1(name)}`, 'named')),
        ...[
          ' ',
          '  two  ',
          '-rf',
          "it's",
          '"',
          '\\',
          '*',
          '$HOME',
          '.whx',
          '..x',
          'x..',
          '#',
          '~',
          '%s',
          'a:b',
        ].map((name) => file(`n/${name}`, 'odd')),
        file(`n/\xff\xfe not utf-8`, 'bytes'),
        symlink('n/to-bytes', '\xff\xfe not utf-8'),
        symlink('n/long-target', `${'../n/'.repeat(200)}x`),
        file(`${deep}/bottom`, 'deep'),
      ],
      [
        whiteout(`n/${latin1('日本語')}`),
        whiteout('n/-rf'),
        whiteout(`n/${'n'.repeat(251)}`),
        file(`n/${'m'.repeat(255)}`),
      ],
    ],
    config: { ...run, WorkingDir: `/${latin1('n')}` },
    says: ['ids 0 0 0', 'pwd /n'],
  },
  {
    name: 'ten-thousand-files',
    layers: [
      [
        ...base,
        ...Array.from({ length: 100 }, (_, i) => folder(`m/${i}`)),
        ...Array.from({ length: 10_000 }, (_, i) => file(`m/${i % 100}/${i}`, String(i))),
      ],
      [
        ...Array.from({ length: 50 }, (_, i) => whiteout(`m/${i}/${i}`)),
        opaque('m/99'),
        whiteout('m/98'),
        file('m/97/97', 'changed'),
      ],
    ],
    config: run,
    says: ['ids 0 0 0', 'pwd /', environment('HOME=/')],
  },
  {
    name: 'empty-layers',
    layers: [[], base, [], [file('implied/folder/file')], []],
    config: run,
    says: ['ids 0 0 0', 'pwd /', environment('HOME=/')],
  },
  {
    name: 'sparse-and-special',
    layers: [
      base,
      sparseLayer,
      [
        ['pipe', { type: 'fifo', mode: 0o620 }],
        file('empty', ''),
        file('big', Buffer.alloc(300_001, 'b')),
        file('old', 'x', { mtime: 1 }),
      ],
    ],
    config: run,
    says: ['ids 0 0 0', 'pwd /', environment('HOME=/')],
  },
  {
    name: 'mount-points',
    layers: [
      [
        ...base,
        folder('etc'),
        symlink('etc/resolv.conf', '../run/not/there'),
        file('etc/hosts', 'of the image'),
        folder('tmp', 0o1777),
        file('tmp/of-the-image'),
        folder('dev'),
        file('dev/null', 'a file in place of the device'),
        folder('vault'),
        file('vault/of-the-image'),
      ],
    ],
    config: run,
    says: ['ids 0 0 0', 'hosts of the VM'],
    makes: ['run/not/there'],
  },
];

/** The tar stream of a layer, its names below a prefix such as `images/names/`. */
export function layerTar(layer: CaseLayer, prefix = ''): Buffer {
  if (typeof layer === 'function') return layer(prefix);
  return layerOf(
    ...layer.map(([name, more]): Item => {
      if (more?.type !== 'hard link') return [`${prefix}${name}`, more ?? {}];
      return [`${prefix}${name}`, { ...more, linkName: `${prefix}${more.linkName!.replace(/^[./]+/, '')}` }];
    }),
  );
}

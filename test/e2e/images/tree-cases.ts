import { readFileSync } from 'node:fs';
import { accounts, base, type ImageCase, run } from './base.ts';
import { file, folder, hardLink, latin1, opaque, program, sparseLayer, symlink, whiteout } from './layers.ts';
import { programCalling } from './program.ts';
import { asUser, environment } from './room.ts';

/** `cap_dac_override+ep`: struct vfs_cap_data, revision 2 (Linux, include/uapi/linux/capability.h). */
const overridesModes = Buffer.from('0100000202000000000000000000000000000000', 'hex');

const deep = Array.from({ length: 60 }, (_, i) => `${i}`.padStart(20, 'd')).join('/');

/** Images about what their layers hold. */
export const treeCases: readonly ImageCase[] = [
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
  {
    // The runtime mounts the VM's files there, then devices over them.
    name: 'links-to-devices',
    layers: [
      [
        ...base,
        folder('etc'),
        symlink('etc/hosts', '/dev/null'),
        symlink('etc/resolv.conf', '/dev/tty'),
        symlink('etc/hostname', '/dev/full'),
      ],
    ],
    config: run,
    says: ['ids 0 0 0'],
  },
];

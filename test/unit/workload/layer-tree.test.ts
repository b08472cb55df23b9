import { describe, expect, it } from 'vitest';
import type { TarEntry } from '../../../src/host/tar/entry.ts';
import { LayerTree } from '../../../src/workload/layer/tree.ts';

function entry(name: string, type: TarEntry['type'] = 'file', more: Partial<TarEntry> = {}): TarEntry {
  return {
    ...{ name, type, mode: 0o644, uid: 0, gid: 0, mtime: 0, size: 0, linkName: '' },
    ...{ deviceMajor: 0, deviceMinor: 0, xattrs: new Map() },
    ...more,
  };
}

function convert(entries: TarEntry[], skip?: Set<number>) {
  const warnings: string[] = [];
  const tree = new LayerTree({ warn: (text) => warnings.push(text), skip });
  const now = entries.flatMap((one) => {
    const verdict = tree.add(one);
    return typeof verdict === 'string' ? [] : [verdict.now.name];
  });
  const tail = tree.tail();
  const opaque = tail.filter(({ xattrs }) => xattrs.has('trusted.overlay.opaque')).map(({ name }) => name);
  const whiteouts = tail.filter(({ type }) => type === 'character device').map(({ name }) => name);
  return { tree, now, tail, opaque, whiteouts, warnings };
}

describe('whiteouts', () => {
  it('become character devices 0:0', () => {
    const { tail } = convert([entry('etc/.wh.motd')]);
    expect(tail).toEqual([
      expect.objectContaining({ name: 'etc/motd', type: 'character device', deviceMajor: 0, deviceMinor: 0 }),
    ]);
  });

  it('do not hide what the same layer has, before or after them', () => {
    expect(convert([entry('.wh.a'), entry('a')])).toMatchObject({ now: ['a'], whiteouts: [] });
    expect(convert([entry('a'), entry('.wh.a')])).toMatchObject({ now: ['a'], whiteouts: [] });
  });

  it('of a folder that the same layer has make it opaque', () => {
    expect(convert([entry('.wh.d'), entry('d/x')])).toMatchObject({ opaque: ['d'], whiteouts: [] });
  });

  it('below an opaque folder are void', () => {
    expect(convert([entry('d/s/.wh.x'), entry('d/.wh..wh..opq')]).whiteouts).toEqual([]);
  });

  it.each(['.wh.', '.wh..', 'a/.wh...', '.wh.x/y'])('of no file are refused: %s', (name) => {
    expect(() => convert([entry(name)])).toThrow(/cannot convert layer entry/);
  });

  it('of aufs itself are dropped', () => {
    expect(
      convert([entry('.wh..wh.aufs'), entry('.wh..wh.plnk/1.2'), entry('.wh..wh.orph', 'directory')]).tail,
    ).toEqual([]);
  });
});

describe('opaque folders', () => {
  const folder = entry('d/', 'directory', { mode: 0o1777, uid: 5, gid: 6, mtime: 7 });
  const mark = entry('d/.wh..wh..opq');

  it.each([
    ['after', [folder, mark]],
    ['before', [mark, folder]],
  ])('keep their own attributes when the mark comes %s the folder', (_, entries) => {
    expect(convert(entries).tail).toEqual([
      expect.objectContaining({
        name: 'd',
        mode: 0o1777,
        uid: 5,
        gid: 6,
        mtime: 7,
        xattrs: new Map([['trusted.overlay.opaque', Buffer.from('y')]]),
      }),
    ]);
  });

  it('without an entry of their own get 0755 0:0', () => {
    expect(convert([mark]).tail).toEqual([
      expect.objectContaining({ name: 'd', mode: 0o755, uid: 0, gid: 0 }),
    ]);
  });

  it('at the root hide all layers below', () => {
    expect(convert([entry('.wh..wh..opq')]).tree.hidesAllBelow).toBe(true);
    expect(convert([mark]).tree.hidesAllBelow).toBe(false);
  });
});

describe('names', () => {
  it.each([['./a/b'], ['/a/b'], ['//a/./b/'], ['a//b']])('%s is a/b', (name) => {
    expect(convert([entry(name)]).now).toEqual(['a/b']);
  });

  it.each(['../x', 'a/../../x', 'a/..', '/../x', 'a/../b'])('%s is refused', (name) => {
    expect(() => convert([entry(name)])).toThrow('“..”');
  });

  it('longer than a file system holds are refused', () => {
    expect(() => convert([entry('n'.repeat(256))])).toThrow('longer than 255 bytes');
    expect(convert([entry('n'.repeat(255))]).now).toHaveLength(1);
  });

  it('below a symbolic link of the layer are refused', () => {
    expect(() => convert([entry('a', 'symlink', { linkName: '/etc' }), entry('a/passwd')])).toThrow(
      'a is not a folder',
    );
    expect(() => convert([entry('a/passwd'), entry('a', 'symlink', { linkName: '/etc' })])).toThrow(
      'once as a folder',
    );
  });
});

describe('hard links', () => {
  it('are followed to the file itself, also when they come first', () => {
    const { tail } = convert([
      entry('c', 'hard link', { linkName: './b' }),
      entry('b', 'hard link', { linkName: '/a' }),
      entry('a'),
    ]);
    expect(tail.map(({ name, linkName }) => [name, linkName])).toEqual([
      ['c', 'a'],
      ['b', 'a'],
    ]);
  });

  it.each([
    ['a file of another layer', [entry('b', 'hard link', { linkName: 'a' })], 'not in the same layer'],
    ['themselves', [entry('b', 'hard link', { linkName: 'b' })], 'to no file'],
    ['a folder', [entry('d', 'directory'), entry('b', 'hard link', { linkName: 'd' })], 'to no file'],
    ['a path outside', [entry('b', 'hard link', { linkName: '../a' })], '“..”'],
  ])('to %s are refused', (_, entries, message) => {
    expect(() => convert(entries)).toThrow(message);
  });
});

describe('repeated entries', () => {
  it('name the earlier file, and leave it out when told to', () => {
    const entries = [entry('a', 'file', { mode: 0o600 }), entry('b'), entry('a', 'file', { mode: 0o644 })];
    const { tree } = convert(entries);
    expect([...tree.superseded]).toEqual([0]);
    const again = convert(entries, new Set([0]));
    expect(again.now).toEqual(['b', 'a']);
    expect(again.tree.superseded.size).toBe(0);
  });

  it('of a folder give it the last attributes', () => {
    const { tail } = convert([
      entry('d', 'directory', { mode: 0o700 }),
      entry('d/', 'directory', { mode: 0o711 }),
    ]);
    expect(tail).toEqual([expect.objectContaining({ name: 'd', mode: 0o711 })]);
  });

  it('of a link target are refused', () => {
    expect(() => convert([entry('a'), entry('b', 'hard link', { linkName: 'a' }), entry('a')])).toThrow(
      'after linking to it',
    );
  });
});

describe('what a layer may not bring', () => {
  it('device nodes are left out with a warning, 0:0 too', () => {
    const { tail, warnings } = convert([
      entry('sda', 'block device', { deviceMajor: 8 }),
      entry('x', 'character device'),
    ]);
    expect(tail).toEqual([]);
    expect(warnings).toEqual(['left out sda: a block device', 'left out x: a character device']);
  });

  it('overlay attributes are stripped with a warning, capabilities and user attributes stay', () => {
    const xattrs = new Map(
      [
        'trusted.overlay.opaque',
        'trusted.overlay.redirect',
        'user.overlay.whiteout',
        'security.selinux',
        'security.capability',
        'user.a',
      ].map((name) => [name, Buffer.from('y')]),
    );
    const { tail, warnings } = convert([entry('d', 'directory', { xattrs })]);
    expect([...tail[0]!.xattrs.keys()]).toEqual(['security.capability', 'user.a']);
    expect(warnings[0]).toContain(
      'trusted.overlay.opaque, trusted.overlay.redirect, user.overlay.whiteout, security.selinux from d',
    );
  });

  it('owners out of range are refused', () => {
    expect(() => convert([entry('a', 'file', { uid: 2 ** 32 })])).toThrow('out of range');
    expect(() => convert([entry('a', 'file', { gid: -1 })])).toThrow('out of range');
  });
});

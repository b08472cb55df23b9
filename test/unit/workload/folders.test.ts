import { describe, expect, it } from 'vitest';
import type { TarEntry } from '../../../src/host/tar/entry.ts';
import { foldersToRestore } from '../../../src/workload/layer/folders.ts';
import { LayerTree } from '../../../src/workload/layer/tree.ts';

/** A layer of these names: folders end in `/`, with a mode where given. */
function layer(...names: (string | [string, number])[]): LayerTree {
  const tree = new LayerTree({ warn: () => {} });
  for (const item of names) {
    const [name, mode] = typeof item === 'string' ? [item, 0o644] : item;
    const type: TarEntry['type'] = name.endsWith('/') ? 'directory' : 'file';
    tree.add({
      ...{ name, type, mode, uid: 5, gid: 6, mtime: 7, size: 0, linkName: '' },
      ...{ deviceMajor: 0, deviceMinor: 0, xattrs: new Map() },
    });
  }
  tree.tail();
  return tree;
}

const restored = (...layers: LayerTree[]) =>
  foldersToRestore(layers).map(({ name, mode, uid }) => `${name} ${mode.toString(8)} ${uid}`);

describe('folders that an upper layer uses without describing them', () => {
  it('keep the attributes that a lower layer gave them', () => {
    expect(restored(layer(['tmp/', 0o1777]), layer('tmp/x'))).toEqual(['tmp 1777 5']);
  });

  it('are none in layers that name every folder', () => {
    expect(restored(layer(['tmp/', 0o1777]), layer(['tmp/', 0o700], 'tmp/x'))).toEqual([]);
    expect(restored(layer('a/x'), layer('a/y'))).toEqual([]);
  });

  it('bring those above them, as they show', () => {
    expect(restored(layer('a/b/x', ['a/b/', 0o700]), layer('a/b/c/y'))).toEqual(['a 755 0', 'a/b 700 5']);
    expect(restored(layer(['a/', 0o711], ['a/b/', 0o700]), layer(['a/', 0o750]), layer('a/b/y'))).toEqual([
      'a 750 5',
      'a/b 700 5',
    ]);
  });

  it('follow the topmost layer that describes them', () => {
    expect(restored(layer(['d/', 0o700]), layer('d/x'), layer(['d/', 0o711]))).toEqual([]);
    expect(restored(layer(['d/', 0o700]), layer(['d/', 0o711]), layer('d/x'))).toEqual(['d 711 5']);
  });

  it('keep theirs where only what is in them is hidden', () => {
    expect(restored(layer(['d/', 0o700]), layer('d/.wh.x'))).toEqual(['d 700 5']);
    expect(restored(layer(['d/', 0o700]), layer('d/.wh..wh..opq'))).toEqual(['d 700 5']);
  });

  it('are new where the lower one was taken away', () => {
    expect(restored(layer(['d/', 0o700]), layer('.wh.d', 'd/x'))).toEqual([]);
    expect(restored(layer(['d/', 0o700]), layer('.wh.d'), layer('d/x'))).toEqual([]);
    expect(restored(layer(['d/', 0o700]), layer('d'), layer('.wh.d'), layer('d/x'))).toEqual([]);
    expect(restored(layer(['p/d/', 0o700]), layer('p/.wh..wh..opq', 'p/d/x'))).toEqual([]);
  });

  it('leave the root alone', () => {
    expect(restored(layer(['./', 0o700]), layer('x'))).toEqual([]);
  });
});

import { ancestorsOf } from './names.ts';
import { type LayerTree, type PlainEntry, plainFolder } from './tree.ts';

/** What the layers of an image say of folders; asked after {@link LayerTree.tail}. */
export type LayerFolders = Pick<LayerTree, 'described' | 'implied' | 'at' | 'isNew'>;

/**
 * The folders to put on top of all layers, so that each keeps its owner, mode and time.
 *
 * A layer may hold `tmp/x` without an entry for `tmp/`. Unpacked over the lower layers, that leaves `/tmp` as it was. overlayfs,
 * though, takes a folder's attributes from the topmost layer that has it, where `tmp` would be a plain 0755 of root. Docker's
 * own layers name every folder; other tools' do not.
 * @param layers bottom first
 * @param wanted paths of folders that are to be there, and that no layer has
 * @returns none where nothing has to be mended, else those folders and all above them, from the top down
 */
export function foldersToRestore(
  layers: readonly LayerFolders[],
  wanted: readonly string[] = [],
): PlainEntry[] {
  const before = new Set<string>();
  const suspect = layers.some((layer) => {
    for (const path of layer.implied()) if (before.has(path)) return true;
    for (const path of layer.described.keys()) before.add(path);
    return false;
  });
  if (!suspect && wanted.length === 0) return [];

  const seen = new Map<string, { entry: PlainEntry; covered: boolean }>();
  for (const layer of layers) {
    for (const [path, folder] of seen) {
      const state = layer.at(path);
      if (state === 'folder' && !layer.isNew(path)) folder.covered = true;
      else if (state !== 'untouched') seen.delete(path);
    }
    for (const [path, entry] of layer.described) seen.set(path, { entry, covered: false });
  }
  const paths = new Set(wanted.flatMap((path) => [path, ...ancestorsOf(path)]));
  for (const [path, { covered }] of seen) {
    if (covered) for (const folder of [path, ...ancestorsOf(path)]) paths.add(folder);
  }
  // The root of the stack is a folder of the guest's own.
  paths.delete('');
  return [...paths].sort().map((path) => seen.get(path)?.entry ?? plainFolder(path));
}

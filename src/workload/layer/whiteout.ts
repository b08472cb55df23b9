import { inside, layerPath, parentOf, refused } from './names.ts';

/**
 * What a layer entry's name says about the layers below (OCI image specification, layer.md, "Whiteouts"; the marks come
 * from aufs):
 * - `.wh.x` hides `x` of the lower layers,
 * - `.wh..wh..opq` hides all that lower layers have in its folder,
 * - other `.wh..wh.*` are aufs' own files.
 */
export type Mark =
  | { kind: 'none' }
  | { kind: 'whiteout'; hides: string }
  | { kind: 'opaque'; folder: string }
  | { kind: 'aufs' };

const prefix = '.wh.';
const aufsPrefix = '.wh..wh.';

/**
 * @param path as {@link layerPath} gives it
 * @throws UserError for a whiteout of `.`, `..` or nothing, and for entries inside a whiteout
 */
export function markOf(path: string): Mark {
  if (!path.includes(prefix)) return { kind: 'none' };
  const parts = path.split('/');
  const base = parts.at(-1)!;
  if (base === `${aufsPrefix}.opq`) return { kind: 'opaque', folder: parentOf(path) };
  if (parts.some((part) => part.startsWith(aufsPrefix))) return { kind: 'aufs' };
  if (parts.slice(0, -1).some((part) => part.startsWith(prefix)))
    throw refused(path, 'it lies inside a whiteout');
  if (!base.startsWith(prefix)) return { kind: 'none' };
  const name = base.slice(prefix.length);
  // `.wh...` would be a whiteout of the parent folder.
  if (['', '.', '..'].includes(name)) throw refused(path, 'it is a whiteout of no file');
  return { kind: 'whiteout', hides: layerPath(inside(parentOf(path), name)) };
}

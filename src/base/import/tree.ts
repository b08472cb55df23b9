import { resolveInside } from '../../host/resolve-inside.ts';
import type { Bytes } from '../../host/tar/bytes.ts';
import type { TarItem } from '../../host/tar/read.ts';

/** What a name in a tree is, as far as following paths needs it. Names and targets are byte strings. */
export type Node = { type: 'directory' | 'file' | 'other' } | { type: 'symlink'; target: string };

/**
 * The root file system of a base, wherever it lies. Paths are byte strings without leading slash; `''` is the root.
 */
export interface Tree {
  /** What lies at a path, links not followed; undefined for nothing. */
  nodeAt(path: string): Promise<Node | undefined>;
  /** Names in a directory; empty where there is none. */
  namesIn(path: string): Promise<string[]>;
  /** Content of a regular file; undefined where there is none, or one that this tree does not keep at hand. */
  contentOf(path: string): Promise<Bytes | undefined>;
  /**
   * Every entry that `keep` takes, folders before what lies in them; below a folder that it does not take there is nothing.
   * Bodies must be read before the next entry is asked for.
   */
  entries(keep: (path: string, isFolder: boolean) => boolean): AsyncIterable<TarItem>;
  /** Bytes that {@link entries} reads altogether, about; for progress. */
  readonly bytes: number;
}

/** The path that a name leads to, links followed inside of the tree; undefined where it leads to nothing. */
export async function resolvePath(tree: Tree, path: string): Promise<string | undefined> {
  const found = await resolveInside(path, async (at) => {
    const node = await tree.nodeAt(at);
    return node?.type === 'symlink' ? node.target : undefined;
  });
  return found !== undefined && (await tree.nodeAt(found)) !== undefined ? found : undefined;
}

/**
 * A file of the tree, links followed inside of it.
 * @returns undefined where there is none or it is longer than `limit` bytes
 */
export async function readTreeFile(tree: Tree, path: string, limit: number): Promise<Buffer | undefined> {
  const resolved = await resolvePath(tree, path);
  const content = resolved === undefined ? undefined : await tree.contentOf(resolved);
  if (content === undefined) return undefined;
  const pieces: Uint8Array[] = [];
  let have = 0;
  for await (const piece of content) {
    have += piece.length;
    if (have > limit) return undefined;
    pieces.push(piece);
  }
  return Buffer.concat(pieces);
}

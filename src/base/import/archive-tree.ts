import { UserError } from '../../host/errors.ts';
import { type Bytes, collect } from '../../host/tar/bytes.ts';
import { readable, type TarEntry } from '../../host/tar/entry.ts';
import { readTar, type TarItem } from '../../host/tar/read.ts';
import type { Node, Tree } from './tree.ts';

const mostEntries = 4_000_000;
/** Folders, those included that names only imply: each takes memory, and one name may imply thousands. */
const mostFolders = 1_000_000;
/** Bytes of a path and of one name in it: Linux takes no more (PATH_MAX and NAME_MAX, include/uapi/linux/limits.h). */
const longestPath = 4096;
const longestName = 255;
/** Files that are kept at hand: what the plan of an import reads. */
const largestKept = 64 * 1024 * 1024;
const mostKept = 256 * 1024 * 1024;

/** The last entry of a name, which is the one that holds. */
interface Known {
  ordinal: number;
  node: Node;
  hardLink?: string;
}

function refused(name: string, why: string): UserError {
  return new UserError(`cannot import the archive: its entry ${readable(name)} ${why}`, {
    hint: 'pack the root file system again, for example with: tar --numeric-owner --xattrs -C <root> -cf base.tar .',
  });
}

/** @throws UserError where a name or a link's target is longer than Linux takes them */
function requireShort({ name, linkName }: TarEntry): void {
  const isLong = Math.max(name.length, linkName.length) > longestPath;
  if (isLong || name.split('/').some((part) => part.length > longestName))
    throw refused(name, 'has a longer name or target than a file system takes');
}

/** A name without leading `/`, `./` and doubled slashes. @throws UserError for one that could leave the tree */
export function archivePath(name: string): string {
  const parts = name.split('/').filter((part) => part !== '' && part !== '.');
  if (parts.includes('..')) throw refused(name, 'has “..” in its name');
  return parts.join('/');
}

/**
 * A root file system in a tar stream that can be read more than once. The first pass learns names and keeps small files; a
 * later one yields the entries. Nothing is unpacked.
 */
export class ArchiveTree implements Tree {
  readonly #open: () => AsyncIterable<Uint8Array>;
  readonly #known = new Map<string, Known>();
  readonly #children = new Map<string, Set<string>>();
  readonly #kept = new Map<string, Buffer>();
  #bytes = 0;

  private constructor(open: () => Bytes) {
    this.#open = open;
  }

  /**
   * Reads the archive once.
   * @param open begins a pass over the uncompressed archive
   * @param wanted files, by path, whose content is read later by {@link contentOf}
   * @throws UserError for entries that no archive of a root file system holds; MalformedError where it is damaged
   */
  static async read(open: () => Bytes, wanted: (path: string) => boolean): Promise<ArchiveTree> {
    const tree = new ArchiveTree(open);
    let ordinal = 0;
    let held = 0;
    for await (const { entry, body } of readTar(open())) {
      requireShort(entry);
      const path = archivePath(entry.name);
      if (++ordinal > mostEntries) throw refused(entry.name, 'is one too many');
      tree.#add(path, entry, ordinal);
      tree.#bytes += entry.size;
      tree.#kept.delete(path);
      if (entry.type !== 'file' || !wanted(path) || entry.size > largestKept) continue;
      held += entry.size;
      if (held > mostKept) throw refused(entry.name, 'is too large');
      const content = await collect(body, largestKept);
      if (content !== undefined) tree.#kept.set(path, Buffer.from(content));
    }
    tree.#check();
    return tree;
  }

  #add(path: string, entry: TarEntry, ordinal: number): void {
    if (entry.type === 'other') throw refused(entry.name, 'is of a kind that no root file system has');
    const before = this.#known.get(path)?.node;
    if (path === '' && entry.type !== 'directory') throw refused(entry.name, 'takes the place of the root');
    if (before?.type === 'directory' && entry.type !== 'directory' && this.#children.get(path)?.size)
      throw refused(entry.name, 'takes the place of a folder');
    const node: Node =
      entry.type === 'symlink'
        ? { type: 'symlink', target: entry.linkName }
        : {
            type:
              entry.type === 'directory'
                ? 'directory'
                : entry.type === 'file' || entry.type === 'hard link'
                  ? 'file'
                  : 'other',
          };
    const hardLink = entry.type === 'hard link' ? { hardLink: archivePath(entry.linkName) } : {};
    this.#known.set(path, { ordinal, node, ...hardLink });
    for (let at = path; at !== ''; ) {
      const cut = at.lastIndexOf('/');
      const parent = cut < 0 ? '' : at.slice(0, cut);
      const names = this.#children.get(parent) ?? new Set();
      this.#children.set(parent, names);
      if (this.#children.size > mostFolders) throw refused(entry.name, 'lies in one folder too many');
      if (names.has(at.slice(cut + 1))) return;
      names.add(at.slice(cut + 1));
      at = parent;
    }
  }

  /** Everything lies in folders, and hard links lead to files that came before. */
  #check(): void {
    for (const path of this.#children.keys()) {
      const node = this.#known.get(path)?.node;
      if (node !== undefined && node.type !== 'directory')
        throw refused(`${path}/${[...this.#children.get(path)!][0]}`, 'lies below what is no folder');
    }
    for (const [path, { ordinal, hardLink }] of this.#known) {
      if (hardLink === undefined) continue;
      const target = this.#known.get(hardLink);
      if (target === undefined || target.node.type === 'directory' || target.ordinal >= ordinal)
        throw refused(path, 'is a hard link to nothing that came before');
    }
  }

  get bytes(): number {
    return this.#bytes;
  }

  async nodeAt(path: string): Promise<Node | undefined> {
    const known = this.#known.get(path)?.node;
    return known ?? (path === '' || this.#children.has(path) ? { type: 'directory' } : undefined);
  }

  async namesIn(path: string): Promise<string[]> {
    return [...(this.#children.get(path) ?? [])].sort();
  }

  async contentOf(path: string): Promise<Bytes | undefined> {
    const known = this.#known.get(path);
    const kept = this.#kept.get(known?.hardLink ?? path);
    if (kept === undefined) return undefined;
    return (async function* () {
      yield kept;
    })();
  }

  async *entries(keep: (path: string, isFolder: boolean) => boolean): AsyncGenerator<TarItem> {
    const kept = (path: string) => {
      if (!keep(path, this.#known.get(path)?.node.type === 'directory')) return false;
      for (let at = path; at !== ''; ) {
        at = at.slice(0, Math.max(0, at.lastIndexOf('/')));
        if (!keep(at, true)) return false;
      }
      return true;
    };
    let ordinal = 0;
    for await (const { entry, body } of readTar(this.#open())) {
      ordinal += 1;
      const name = archivePath(entry.name);
      if (this.#known.get(name)?.ordinal !== ordinal || !kept(name)) continue;
      const linkName = entry.type === 'hard link' ? archivePath(entry.linkName) : entry.linkName;
      if (entry.type === 'hard link' && !kept(linkName))
        throw refused(entry.name, `is a hard link to ${readable(linkName)}, which is left out of a base`);
      yield { entry: { ...entry, name, linkName }, body };
    }
  }
}

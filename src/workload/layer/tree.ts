import { readable, type TarEntry } from '../../host/tar/entry.ts';
import { idCount } from '../ids.ts';
import { ancestorsOf, inside, layerPath, parentOf, refused } from './names.ts';
import { markOf } from './whiteout.ts';
import { siftXattrs } from './xattrs.ts';

/** An entry that may go to squashfs. */
export type PlainEntry = TarEntry & { type: Exclude<TarEntry['type'], 'other'> };

/** What a layer says about a path: what it has there itself, that lower layers' is hidden, or nothing. */
export type PathState = 'file' | 'folder' | 'link' | 'other' | 'hidden' | 'untouched';

/** What the tree decided on an entry: write it and its body now, keep it for the tail, or leave it out. */
export type Verdict = { now: PlainEntry } | 'later' | 'never';

/** What stands at a path: a folder, an entry kept for the tail, or the ordinal of a file that was written. */
type Node = 'directory' | 'later' | number;

/** One node is about 100 bytes of memory; no real layer has as many. */
const maximumEntries = 4_000_000;

const opaqueMark: readonly [string, Buffer] = ['trusted.overlay.opaque', Buffer.from('y')];
const bare = { uid: 0, gid: 0, mtime: 0, size: 0, linkName: '', deviceMajor: 0, deviceMinor: 0 } as const;

function plain(type: PlainEntry['type'], name: string, mode: number): PlainEntry {
  return { ...bare, type, name, mode, xattrs: new Map() };
}

/** A folder as one without an entry becomes: the container's root has it. */
export function plainFolder(path: string): PlainEntry {
  return plain('directory', path, 0o755);
}

/**
 * Turns the entries of one image layer into those of one overlayfs lower folder, as a stream.
 *
 * Files go out as they come, since their bodies must not be kept. Everything else, a header each, is kept for the
 * {@link tail}: whether a folder is opaque, a whiteout void or a link's target present is known only at the end of the
 * layer. tar2sqfs makes folders it has not met yet with default attributes and takes the real ones, extended attributes
 * included, from an entry that comes later.
 *
 * Later entries of the same name win, as they do when Docker unpacks a layer. A file that was already written cannot be
 * taken back, so its ordinal goes to {@link superseded} and the layer is read a second time with `skip`.
 */
export class LayerTree {
  readonly #nodes = new Map<string, Node>([['', 'directory']]);
  readonly #described = new Map<string, PlainEntry>();
  readonly #later = new Map<string, PlainEntry>();
  readonly #whiteouts = new Set<string>();
  readonly #opaque = new Set<string>();
  readonly #linked = new Set<string>();
  readonly #renewed = new Set<string>();
  readonly #skip: ReadonlySet<number>;
  readonly #warn: (text: string) => void;
  #count = 0;

  /** Ordinals of files that a later entry of the layer replaces. */
  readonly superseded = new Set<number>();

  constructor(options: { warn: (text: string) => void; skip?: ReadonlySet<number> | undefined }) {
    this.#warn = options.warn;
    this.#skip = options.skip ?? new Set();
  }

  /** @throws UserError for an entry that no honest layer has */
  add(raw: TarEntry): Verdict {
    const ordinal = this.#count++;
    if (ordinal === maximumEntries)
      throw refused(raw.name, `the layer has more than ${maximumEntries} entries`);
    const path = layerPath(raw.name);
    const mark = markOf(path);
    switch (mark.kind) {
      case 'aufs':
        return 'never';
      case 'opaque':
        this.#makeFolders(inside(mark.folder, '.'));
        this.#opaque.add(mark.folder);
        return 'later';
      case 'whiteout':
        this.#makeFolders(mark.hides);
        this.#whiteouts.add(mark.hides);
        return 'later';
    }
    const entry = this.#sift(raw, path);
    if (entry === undefined || this.#skip.has(ordinal)) return 'never';
    if (path === '' && entry.type !== 'directory')
      throw refused(raw.name, 'the root of a layer must be a folder');
    this.#makeFolders(path);
    this.#replace(entry);
    if (entry.type === 'directory') {
      this.#nodes.set(path, 'directory');
      this.#described.set(path, entry);
      return 'later';
    }
    if (entry.type === 'file') {
      this.#nodes.set(path, ordinal);
      return { now: entry };
    }
    if (entry.type === 'hard link') {
      entry.linkName = layerPath(entry.linkName);
      this.#linked.add(entry.linkName);
    }
    this.#nodes.set(path, 'later');
    this.#later.set(path, entry);
    return 'later';
  }

  /** The entries that were kept, folders first. To be written after the last file. */
  tail(): PlainEntry[] {
    // A whiteout speaks of lower layers only: what this layer puts there itself stays, and hides what lies below.
    for (const path of this.#whiteouts) {
      if (this.#nodes.get(path) !== 'directory') continue;
      this.#opaque.add(path);
      this.#renewed.add(path);
    }
    for (const path of this.#whiteouts) {
      if (this.#nodes.has(path) || this.#isHidden(parentOf(path))) this.#whiteouts.delete(path);
    }
    const folders = new Map(this.#described);
    for (const path of this.#opaque) {
      const folder = folders.get(path) ?? plainFolder(path);
      folders.set(path, { ...folder, xattrs: new Map([...folder.xattrs, opaqueMark]) });
    }
    const links = [...this.#later.values()].map((entry) =>
      entry.type === 'hard link' ? { ...entry, linkName: this.#target(entry) } : entry,
    );
    const whiteouts = [...this.#whiteouts].map((path) => plain('character device', path, 0));
    return [...folders.values(), ...links, ...whiteouts];
  }

  /** True where this layer hides everything that lower layers have. To be asked after {@link tail}. */
  get hidesAllBelow(): boolean {
    return this.#opaque.has('');
  }

  /** Folders with an entry of their own. */
  get described(): ReadonlyMap<string, PlainEntry> {
    return this.#described;
  }

  /** Folders that stand only because something is in them, the layer's root aside. */
  *implied(): Generator<string> {
    for (const [path, node] of this.#nodes) {
      if (node === 'directory' && path !== '' && !this.#described.has(path)) yield path;
    }
  }

  /** What this layer says about a path: a file or folder of its own, something else, hidden from below, or nothing. */
  at(path: string): PathState {
    const here = this.#nodes.get(path);
    if (typeof here === 'number') return 'file';
    if (here === 'directory') return 'folder';
    if (here !== undefined) return this.#later.get(path)?.type === 'symlink' ? 'link' : 'other';
    if (this.#whiteouts.has(path)) return 'hidden';
    for (const folder of ancestorsOf(path)) {
      const node = this.#nodes.get(folder);
      if (this.#opaque.has(folder) || this.#whiteouts.has(folder)) return 'hidden';
      if (node !== undefined && node !== 'directory') return 'hidden';
    }
    return 'untouched';
  }

  /** True where a folder of this layer has nothing to do with one of that name in lower layers. To be asked after {@link tail}. */
  isNew(path: string): boolean {
    return this.#renewed.has(path) || this.#isHidden(parentOf(path));
  }

  /** Refuses devices and what squashfs has no word for, sifts attributes, checks owners. */
  #sift(raw: TarEntry, path: string): PlainEntry | undefined {
    const { type } = raw;
    if (type === 'other' || type === 'character device' || type === 'block device') {
      this.#warn(
        `left out ${readable(path)}: ${type === 'other' ? 'not a kind of file an image may hold' : `a ${type}`}`,
      );
      return undefined;
    }
    for (const id of [raw.uid, raw.gid]) {
      if (id < 0 || id >= idCount)
        throw refused(raw.name, `its owner ${id} is out of range: there are 0 to ${idCount - 1}`);
    }
    const { kept, dropped } = siftXattrs(raw.xattrs);
    if (dropped.length > 0) this.#warn(`stripped ${dropped.map(readable).join(', ')} from ${readable(path)}`);
    return { ...raw, type, name: path, mtime: Math.min(Math.max(raw.mtime, 0), 0xffff_ffff), xattrs: kept };
  }

  /** Every folder above a path stands in this layer, whether or not it has an entry. */
  #makeFolders(path: string): void {
    for (const folder of ancestorsOf(path)) {
      const node = this.#nodes.get(folder);
      if (node === 'directory') return;
      if (node !== undefined) throw refused(path, `${readable(folder)} is not a folder in this layer`);
      this.#nodes.set(folder, 'directory');
    }
  }

  /** Makes room for an entry where the layer already has one of that name. */
  #replace(entry: PlainEntry): void {
    const before = this.#nodes.get(entry.name);
    if (before === undefined) return;
    if ((before === 'directory') !== (entry.type === 'directory')) {
      throw refused(entry.name, 'the layer has it once as a folder and once as something else');
    }
    if (before === 'directory') return;
    if (this.#linked.has(entry.name)) throw refused(entry.name, 'the layer replaces it after linking to it');
    if (before === 'later') this.#later.delete(entry.name);
    else this.superseded.add(before);
  }

  /** Follows hard links to hard links. The target must be in the same layer: a layer is linked to nothing else. */
  #target(link: PlainEntry): string {
    const seen = new Set([link.name]);
    for (let path = link.linkName; ; ) {
      const node = this.#nodes.get(path);
      if (node === undefined) {
        throw refused(link.name, `it is a hard link to ${readable(path)}, which is not in the same layer`);
      }
      if (node === 'directory' || seen.has(path)) throw refused(link.name, 'it is a hard link to no file');
      const next = this.#later.get(path);
      if (next?.type !== 'hard link') return path;
      seen.add(path);
      path = next.linkName;
    }
  }

  #isHidden(folder: string): boolean {
    if (this.#opaque.size === 0) return false;
    return this.#opaque.has(folder) || [...ancestorsOf(folder)].some((above) => this.#opaque.has(above));
  }
}

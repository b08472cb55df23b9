import type { Ext4 } from '../../../host/ext4/filesystem.ts';
import { deviceOf, fileType, type Inode } from '../../../host/ext4/inode.ts';
import { type Bytes, MalformedError } from '../../../host/tar/bytes.ts';
import { type EntryType, readable, type TarEntry } from '../../../host/tar/entry.ts';
import type { TarItem } from '../../../host/tar/read.ts';
import type { Node, Tree } from '../tree.ts';

const entryTypes: Readonly<Record<number, Exclude<EntryType, 'hard link' | 'other'>>> = {
  [fileType.fifo]: 'fifo',
  [fileType.character]: 'character device',
  [fileType.directory]: 'directory',
  [fileType.block]: 'block device',
  [fileType.regular]: 'file',
  [fileType.symlink]: 'symlink',
};

/** A place in the tree: an inode of one of its file systems. */
interface Place {
  on: Ext4;
  inode: Inode;
}

/** What a walk remembers. */
interface Walk {
  keep: (path: string, isFolder: boolean) => boolean;
  /** First name of each inode that has several. */
  names: Map<string, string>;
  folders: Set<string>;
  idOf: (place: Place) => string;
}

const inside = (folder: string, name: string) => (folder === '' ? name : `${folder}/${name}`);

/** One or more ext4 file systems as one tree, others laid over folders of the first as /etc/fstab mounts them. */
export class Ext4Tree implements Tree {
  readonly #root: Ext4;
  readonly #mounts: ReadonlyMap<string, Ext4>;

  /** @param mounts by path, without leading slash */
  constructor(root: Ext4, mounts: ReadonlyMap<string, Ext4> = new Map()) {
    this.#root = root;
    this.#mounts = mounts;
  }

  get bytes(): number {
    return [this.#root, ...this.#mounts.values()].reduce(
      (sum, { superblock }) => sum + superblock.usedBytes,
      0,
    );
  }

  async #rootPlace(): Promise<Place> {
    return { on: this.#root, inode: await this.#root.root() };
  }

  async #child(parent: Place, path: string, name: string): Promise<Place | undefined> {
    const mounted = this.#mounts.get(path);
    if (mounted !== undefined) return { on: mounted, inode: await mounted.root() };
    const entry = (await parent.on.list(parent.inode)).find((each) => each.name === name);
    return entry && { on: parent.on, inode: await parent.on.inode(entry.inode) };
  }

  async #placeAt(path: string): Promise<Place | undefined> {
    let place: Place | undefined = await this.#rootPlace();
    let at = '';
    for (const name of path.split('/').filter((part) => part !== '')) {
      if (place === undefined || place.inode.type !== fileType.directory) return undefined;
      at = inside(at, name);
      place = await this.#child(place, at, name);
    }
    return place;
  }

  async nodeAt(path: string): Promise<Node | undefined> {
    const place = await this.#placeAt(path);
    if (place === undefined) return undefined;
    const type = entryTypes[place.inode.type];
    if (type === 'symlink') return { type, target: await place.on.target(place.inode) };
    return { type: type === 'directory' || type === 'file' ? type : 'other' };
  }

  async namesIn(path: string): Promise<string[]> {
    const place = await this.#placeAt(path);
    if (place?.inode.type !== fileType.directory) return [];
    return (await place.on.list(place.inode)).map(({ name }) => name);
  }

  async contentOf(path: string): Promise<Bytes | undefined> {
    const place = await this.#placeAt(path);
    return place?.inode.type === fileType.regular ? place.on.content(place.inode) : undefined;
  }

  async *entries(keep: (path: string, isFolder: boolean) => boolean): AsyncGenerator<TarItem> {
    const names = new Map<string, string>();
    const folders = new Set<string>();
    const idOf = ({ on, inode }: Place) => `${on === this.#root ? '' : on.superblock.uuid}:${inode.number}`;
    yield* this.#walk(await this.#rootPlace(), '', { keep, names, folders, idOf });
  }

  async *#walk(place: Place, path: string, seen: Walk): AsyncGenerator<TarItem> {
    const { on, inode } = place;
    const type = entryTypes[inode.type];
    // Sockets: a program makes its own.
    if (type === undefined || !seen.keep(path, type === 'directory')) return;
    const id = seen.idOf(place);
    const first = type === 'directory' || inode.links < 2 ? undefined : seen.names.get(id);
    if (first !== undefined) {
      yield {
        entry: {
          ...(await this.#entry(place, path, type)),
          ...{ type: 'hard link', linkName: first, size: 0, xattrs: new Map() },
        },
        body: nothing(),
      };
      return;
    }
    if (type !== 'directory' && inode.links > 1) seen.names.set(id, path);
    const entry = await this.#entry(place, path, type);
    yield { entry, body: type === 'file' ? on.content(inode) : nothing() };
    if (type !== 'directory') return;
    // A folder has one name: a second one is damage or malice, and a folder inside of itself has no end.
    if (seen.folders.has(id)) throw new MalformedError(`the folder ${readable(path)} is in two places`);
    seen.folders.add(id);
    for (const { name, inode: number } of await on.list(inode)) {
      const at = inside(path, name);
      const mounted = this.#mounts.get(at);
      const child = mounted
        ? { on: mounted, inode: await mounted.root() }
        : { on, inode: await on.inode(number) };
      yield* this.#walk(child, at, seen);
    }
  }

  async #entry({ on, inode }: Place, name: string, type: EntryType): Promise<TarEntry> {
    const device = type.endsWith('device') ? deviceOf(inode) : { major: 0, minor: 0 };
    return {
      name,
      type,
      mode: inode.mode,
      uid: inode.uid,
      gid: inode.gid,
      mtime: inode.mtime,
      size: type === 'file' ? inode.size : 0,
      linkName: type === 'symlink' ? await on.target(inode) : '',
      deviceMajor: device.major,
      deviceMinor: device.minor,
      xattrs: await on.attributes(inode),
    };
  }
}

async function* nothing(): Bytes {}

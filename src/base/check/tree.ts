import { posix } from 'node:path';
import { describeSquashfs, readSquashfsFile, type SquashfsEntry } from '../../host/squashfs.ts';

/** The files of a base, read in its squashfs: nothing of it ever lies on the host. */
export class BaseTree {
  /** The squashfs. */
  readonly image: string;
  readonly #signal: AbortSignal | undefined;
  readonly #entries: ReadonlyMap<string, SquashfsEntry>;

  private constructor(image: string, entries: readonly SquashfsEntry[], signal?: AbortSignal) {
    this.image = image;
    this.#entries = new Map(entries.map((entry) => [entry.path, entry]));
    this.#signal = signal;
  }

  /** @throws UserError where the file is no squashfs. */
  static async open(image: string, signal?: AbortSignal): Promise<BaseTree> {
    return new BaseTree(image, await describeSquashfs(image, signal), signal);
  }

  /** Paths of everything, without a leading slash. */
  get paths(): string[] {
    return [...this.#entries.keys()];
  }

  /**
   * The entry at a path as a program in the base would find it: links are followed, those of folders on the way too.
   * Undefined where there is none, or a circle of links.
   */
  find(path: string): SquashfsEntry | undefined {
    let rest = path.split('/').filter((part) => part !== '' && part !== '.');
    let at: string[] = [];
    for (let links = 0; links < 40; ) {
      const part = rest.shift();
      if (part === undefined) return this.#entries.get(at.join('/'));
      if (part === '..') {
        at.pop();
        continue;
      }
      const target = this.#entries.get([...at, part].join('/'))?.target;
      if (target === undefined) {
        at.push(part);
        continue;
      }
      links += 1;
      if (target.startsWith('/')) at = [];
      rest = [...target.split('/').filter((name) => name !== '' && name !== '.'), ...rest];
    }
    return undefined;
  }

  /** True for a regular file, found as {@link find} does. */
  hasFile(path: string): boolean {
    return this.find(path)?.type === 'file';
  }

  /** Names in a folder, sorted. */
  names(folder: string): string[] {
    const prefix = `${this.find(folder)?.path ?? folder}/`;
    return this.paths
      .filter((path) => path.startsWith(prefix) && !path.slice(prefix.length).includes('/'))
      .map((path) => posix.basename(path))
      .sort();
  }

  /**
   * A regular file's bytes, links followed; undefined where there is none.
   * @throws UserError where it has more than `limit` bytes.
   */
  async read(path: string, limit = 1 << 24): Promise<Buffer | undefined> {
    const entry = this.find(path);
    if (entry?.type !== 'file') return undefined;
    return readSquashfsFile(this.image, entry.path, { limit, signal: this.#signal });
  }

  /** A file's text, empty where there is none. */
  async text(path: string): Promise<string> {
    return (await this.read(path))?.toString('utf8') ?? '';
  }
}

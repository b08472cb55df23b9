import { createHash, randomBytes } from 'node:crypto';
import { chmod, lstat, mkdir, readdir, rename, rm, stat, utimes } from 'node:fs/promises';
import { basename, dirname, isAbsolute, join } from 'node:path';
import { recordDigests } from '../host/digests.ts';
import { hasCode, messageOf, UserError } from '../host/errors.ts';
import { ownHomeFolder } from '../host/home.ts';
import { newDraftFolder, releaseDraftFolder, sweepDrafts } from './cache-drafts.ts';
import { flushTree, folderSize, isOwnTree, makePrivate } from './cache-files.ts';

/** A content-addressed store: one folder for each kind and key. Entries hold no plaintext secrets. */
export interface Cache {
  readonly root: string;
  /**
   * Folder of a complete entry, or undefined. Marks the entry as used now. What holds anything of another user's is no entry. The
   * digests of its files are noted in it, for those who read them (`host/digests.ts`).
   */
  lookup(kind: string, key: string): Promise<string | undefined>;
  /**
   * Folder of the entry. Where it is absent, `make` fills a private temporary folder, which is then renamed
   * in one step. Of two processes racing, the loser's copy is dropped. Concurrent calls in one process for
   * the same key share one `make`, and its failure.
   */
  entry(kind: string, key: string, make: (folder: string) => Promise<void>): Promise<string>;
  /** An empty folder for an entry whose key is known only once its content was streamed. */
  draft(): Promise<CacheDraft>;
  /** Every complete entry, least recently used first. */
  list(): Promise<CacheEntryInfo[]>;
  /** Removes an entry, in one step as others see it. An absent one is no error. */
  remove(kind: string, key: string): Promise<void>;
}

/** A private folder (0700) on the cache's file system. Disposing it without a commit removes it. */
export interface CacheDraft extends AsyncDisposable {
  readonly folder: string;
  /** Makes it the entry, or drops it where that entry exists; returns the entry's folder. */
  commit(kind: string, key: string): Promise<string>;
}

export interface CacheEntryInfo {
  kind: string;
  key: string;
  /** Sum of the sizes of its files. */
  bytes: number;
  lastUsed: Date;
}

/** `$XDG_CACHE_HOME/cvm-builder`, or `~/.cache/cvm-builder`; a relative XDG_CACHE_HOME is ignored (XDG base directories). */
export function defaultCacheRoot(): string {
  const xdg = process.env.XDG_CACHE_HOME;
  return join(xdg !== undefined && isAbsolute(xdg) ? xdg : join(ownHomeFolder(), '.cache'), 'cvm-builder');
}

/**
 * SHA-256, in hex, over the parts, each preceded by its length in bytes (64 bits, big-endian), so that
 * ("ab","c") and ("a","bc") differ. Text counts as UTF-8.
 */
export function contentKey(...parts: (string | Uint8Array)[]): string {
  const hash = createHash('sha256');
  for (const part of parts) {
    const bytes = typeof part === 'string' ? Buffer.from(part, 'utf8') : part;
    const length = Buffer.alloc(8);
    length.writeBigUInt64BE(BigInt(bytes.byteLength));
    hash.update(length).update(bytes);
  }
  return hash.digest('hex');
}

/**
 * Opens the cache. The folder is made, checked and swept of killed builds' leftovers at the first use.
 * @throws UserError (from every method) where the folder cannot be made or belongs to somebody else.
 */
export function openCache(root: string): Cache {
  const making = new Map<string, Promise<string>>();
  let prepared: Promise<void> | undefined;
  const ready = () => {
    prepared ??= prepare(root);
    return prepared;
  };

  const lookup = async (kind: string, key: string) => {
    const folder = entryFolder(root, kind, key);
    await ready();
    return (await isOwn(folder)) && (await touch(folder)) ? folder : undefined;
  };

  const draft = async (): Promise<CacheDraft> => {
    await ready();
    const folder = await newDraftFolder(root);
    let open = true;
    return {
      folder,
      async commit(kind, key) {
        if (!open) throw new Error('a cache draft can be committed only once');
        const target = entryFolder(root, kind, key);
        await publish(folder, target);
        open = false;
        releaseDraftFolder(folder);
        return target;
      },
      async [Symbol.asyncDispose]() {
        if (!open) return;
        open = false;
        await rm(folder, { recursive: true, force: true });
        releaseDraftFolder(folder);
      },
    };
  };

  const make = async (kind: string, key: string, fill: (folder: string) => Promise<void>) => {
    const found = await lookup(kind, key);
    if (found !== undefined) return found;
    await using mine = await draft();
    await fill(mine.folder);
    return await mine.commit(kind, key);
  };

  return {
    root,
    lookup,
    draft,
    async entry(kind, key, fill) {
      const folder = entryFolder(root, kind, key);
      const shared = making.get(folder);
      if (shared !== undefined) return shared;
      const made = make(kind, key, fill).finally(() => making.delete(folder));
      making.set(folder, made);
      return made;
    },
    async list() {
      await ready();
      const entries: CacheEntryInfo[] = [];
      for (const kind of await visibleNames(root)) {
        for (const key of await visibleNames(join(root, kind))) {
          const folder = join(root, kind, key);
          const info = await lstat(folder);
          if (!info.isDirectory()) continue;
          entries.push({ kind, key, bytes: await folderSize(folder), lastUsed: info.mtime });
        }
      }
      return entries.sort((a, b) => a.lastUsed.getTime() - b.lastUsed.getTime());
    },
    async remove(kind, key) {
      const folder = entryFolder(root, kind, key);
      await ready();
      // Moved aside first: a removal that is killed half-way must not leave half an entry.
      const aside = await newDraftFolder(root);
      try {
        await rename(folder, aside);
      } catch (error) {
        if (!hasCode(error, 'ENOENT')) throw error;
      } finally {
        await rm(aside, { recursive: true, force: true });
        releaseDraftFolder(aside);
      }
    },
  };
}

/** Kinds and keys become folder names, so nothing that climbs or hides is taken. */
function entryFolder(root: string, kind: string, key: string): string {
  for (const name of [kind, key]) {
    if (!/^[A-Za-z0-9][A-Za-z0-9._-]{0,199}$/.test(name)) {
      throw new Error(`not a name for a cache entry: ${JSON.stringify(name)}`);
    }
  }
  return join(root, kind, key);
}

async function prepare(root: string): Promise<void> {
  try {
    await mkdir(root, { recursive: true, mode: 0o700 });
    const info = await stat(root);
    if (!info.isDirectory()) throw new Error('it is not a folder');
    // Entries become part of sealed images: whoever can write here can put programs into them.
    if (info.uid !== process.getuid?.()) throw new Error(`it belongs to another user (uid ${info.uid})`);
    if ((info.mode & 0o022) !== 0) throw new Error('other users may write to it');
    if ((info.mode & 0o777) !== 0o700) await chmod(root, 0o700);
  } catch (error) {
    throw new UserError(`cannot use the cache folder ${root}: ${messageOf(error)}`, {
      hint: 'set XDG_CACHE_HOME to a folder of your own',
      cause: error,
    });
  }
  await sweepDrafts(root);
}

/** Renames a finished draft to its entry; an entry that is there already wins. What is none makes room. */
async function publish(draft: string, target: string): Promise<void> {
  await mkdir(join(target, '..'), { recursive: true, mode: 0o700 });
  await chmod(draft, 0o700);
  await makePrivate(draft);
  await recordDigests(draft);
  // A rename may reach the disk before the data does; after a power cut the entry would look complete.
  await flushTree(draft);
  try {
    await rename(draft, target);
  } catch (error) {
    if (!['ENOTEMPTY', 'EEXIST', 'ENOTDIR'].some((code) => hasCode(error, code))) throw error;
    if (await isOwn(target)) {
      await rm(draft, { recursive: true, force: true });
    } else {
      // In the same folder: to move another user's folder elsewhere, one would have to be allowed to write to it.
      const aside = join(dirname(target), `.${basename(target)}.${randomBytes(6).toString('hex')}`);
      await rename(target, aside);
      await rename(draft, target);
      await rm(aside, { recursive: true, force: true }).catch(() => {});
    }
  }
  await touch(target);
}

/** The last use is kept as the folder's modification time; entries never change otherwise. False where it is gone. */
async function touch(folder: string): Promise<boolean> {
  const now = new Date();
  try {
    await utimes(folder, now, now);
    return true;
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return false;
    throw error;
  }
}

/** A folder that this user owns with all in it, and nobody else may write to: what others could have put there is no entry. */
async function isOwn(path: string): Promise<boolean> {
  const found = await lstat(path).catch(() => undefined);
  if (!found?.isDirectory()) return false;
  if (found.uid !== process.getuid?.() || (found.mode & 0o022) !== 0) return false;
  try {
    if (!(await isOwnTree(path))) return false;
    // Entries that an earlier version made have no digests yet.
    await recordDigests(path);
    return true;
  } catch (error) {
    // Somebody else removes it just now.
    if (hasCode(error, 'ENOENT')) return false;
    throw error;
  }
}

async function visibleNames(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { withFileTypes: true });
  return entries
    .filter((entry) => entry.isDirectory() && !entry.name.startsWith('.'))
    .map(({ name }) => name);
}

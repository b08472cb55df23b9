import { createHash } from 'node:crypto';
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { folderBudget } from '../../host/folder-budget.ts';
import { type Bytes, collect } from '../../host/tar/bytes.ts';
import { readTar } from '../../host/tar/read.ts';
import { encodeEntry, padding, tarEnd } from '../../host/tar/write.ts';
import { writeSquashfs } from '../../host/write-squashfs.ts';
import { firstId } from '../ids.ts';
import type { LayerFolders } from './folders.ts';
import { LayerTree, type PlainEntry, plainFolder } from './tree.ts';

/** Goes into every cache key: raise it when the same layer would become another squashfs. */
export const converterVersion = '3';

/** Name of the squashfs in a layer's cache entry. */
export const squashfsName = 'layer.squashfs';

/** Files of which the text is kept, to resolve the image's user. */
export const accountFiles = ['etc/passwd', 'etc/group'] as const;
const maximumAccountFile = 1024 * 1024;

/** What one layer says about an account file: its text, that lower layers' is hidden, that it is unusable, or nothing. */
export type AccountFile = { text: string } | 'hidden' | 'unusable' | 'untouched';

/** A layer that became squashfs. */
export interface ConvertedLayer {
  /** `sha256:<hex>` of the uncompressed tar, computed from the very bytes that were converted. */
  diffId: string;
  /** Size of the squashfs file, in bytes. */
  bytes: number;
  /** True where nothing of the layers below shows. */
  hidesAllBelow: boolean;
  accounts: Record<(typeof accountFiles)[number], AccountFile>;
  folders: LayerFolders;
  /** Ordinals of entries that later ones replace: where there are any, the squashfs is void and a second pass due. */
  superseded: ReadonlySet<number>;
}

async function* hashed(source: Bytes, hash: { update(data: Uint8Array): unknown }): Bytes {
  for await (const piece of source) {
    hash.update(piece);
    yield piece;
  }
}

/**
 * Header of an entry for tar2sqfs, with the VM's numbers of the container's users. The leading `./` keeps a hostile first name from
 * looking like a compressor's magic.
 */
function header(entry: PlainEntry): Buffer {
  const name = entry.type === 'directory' ? `./${entry.name}/` : `./${entry.name}`;
  const linkName = entry.type === 'hard link' ? `./${entry.linkName}` : entry.linkName;
  const owner = { uid: firstId + entry.uid, gid: firstId + entry.gid };
  return encodeEntry({ ...entry, ...owner, name: entry.name === '' ? './' : name, linkName });
}

/**
 * Converts one uncompressed layer tar to `<folder>/layer.squashfs`, in one pass and without unpacking it.
 * @param options.skip ordinals of entries to leave out: `superseded` of an earlier pass
 * @throws UserError for hostile entries; MalformedError where the tar is damaged
 */
export async function convertLayer(
  source: Bytes,
  folder: string,
  options: {
    warn: (text: string) => void;
    skip?: ReadonlySet<number> | undefined;
    signal?: AbortSignal | undefined;
  },
): Promise<ConvertedLayer> {
  const hash = createHash('sha256');
  const tree = new LayerTree(options);
  const texts = new Map<string, string | undefined>();
  const spend = folderBudget();

  async function* rewritten(): Bytes {
    for await (const { entry: raw, body } of readTar(hashed(source, hash))) {
      const verdict = tree.add(raw);
      // From the first replaced file on the squashfs is void: read on only to learn of the others, and for the digest.
      if (typeof verdict === 'string' || tree.superseded.size > 0) continue;
      const entry = verdict.now;
      spend(entry.name);
      yield header(entry);
      if ((accountFiles as readonly string[]).includes(entry.name) && entry.size <= maximumAccountFile) {
        const text = await collect(body, maximumAccountFile);
        texts.set(entry.name, text?.toString('utf8'));
        if (text !== undefined) yield text;
      } else {
        yield* body;
      }
      yield padding(entry.size);
    }
    const tail = tree.tail();
    // tar2sqfs would give a folder without an entry to the VM's root.
    const named = new Set(tail.map(({ name }) => name));
    for (const path of ['', ...tree.implied()]) if (!named.has(path)) tail.push(plainFolder(path));
    if (tree.superseded.size === 0) for (const entry of tail) yield header(entry);
    yield tarEnd();
  }

  const target = join(folder, squashfsName);
  await writeSquashfs(rewritten(), target, options.signal);

  const account = (path: (typeof accountFiles)[number]): AccountFile => {
    const state = tree.at(path);
    if (state === 'hidden' || state === 'untouched') return state;
    const text = state === 'file' ? texts.get(path) : undefined;
    return text === undefined ? 'unusable' : { text };
  };
  return {
    diffId: `sha256:${hash.digest('hex')}`,
    bytes: (await stat(target)).size,
    hidesAllBelow: tree.hidesAllBelow,
    accounts: { 'etc/passwd': account('etc/passwd'), 'etc/group': account('etc/group') },
    folders: tree,
    superseded: tree.superseded,
  };
}

/**
 * Makes a layer of folders alone, which is no layer of the image.
 * @returns `sha256:<hex>` of the tar stream it was made of
 */
export async function makeFolderLayer(
  folders: readonly PlainEntry[],
  folder: string,
  signal?: AbortSignal,
): Promise<string> {
  const hash = createHash('sha256');
  async function* tar(): Bytes {
    for (const entry of [plainFolder(''), ...folders]) yield header(entry);
    yield tarEnd();
  }
  await writeSquashfs(hashed(tar(), hash), join(folder, squashfsName), signal);
  return `sha256:${hash.digest('hex')}`;
}

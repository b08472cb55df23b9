import { posix } from 'node:path';
import { UserError } from '../../host/errors.ts';
import { type Bytes, collect, MalformedError, peek } from '../../host/tar/bytes.ts';
import { decompressed, type Format } from '../../host/tar/compression.ts';
import { readable } from '../../host/tar/entry.ts';
import { blockSize, isEnd, isHeader } from '../../host/tar/header.ts';
import { readTar } from '../../host/tar/read.ts';

/** Largest file of an archive that is kept in memory: manifests and image configurations are JSON of a few KiB. */
export const maximumDocument = 8 * 1024 * 1024;
const maximumDocuments = 64 * 1024 * 1024;
/** Entries of any kind: an image of 127 layers, the most that Docker makes, has some 500. */
const maximumEntries = 20_000;

/** What an image archive holds, layers aside. Paths are relative, without `./`. */
export interface ArchiveIndex {
  /** Small files by path. */
  documents: Map<string, Buffer>;
  /** Files that are neither a layer nor small. */
  skipped: Set<string>;
  /** Where symbolic and hard links lead: legacy archives name shared layers so. */
  links: Map<string, string>;
}

const saveHint = 'make the archive with: docker save <image>:<tag> | gzip > image.tar.gz';
const otherFormats: Partial<Record<Format, string>> = {
  xz: 'it is compressed with xz',
  bzip2: 'it is compressed with bzip2',
  zip: 'it is a zip file',
  qcow2: 'it is a disk image',
};

/** The error for an archive that is no image archive. */
export function unusable(archive: string, why: string, hint = saveHint, cause?: unknown): UserError {
  return new UserError(`cannot read docker archive ${archive}: ${why}`, { hint, cause });
}

function pathIn(archive: string, name: string): string {
  const path = posix.normalize(name).replace(/\/+$/, '').replace(/^\/+/, '');
  if (path.split('/').includes('..'))
    throw unusable(archive, `its entry ${readable(name)} points outside of it`);
  return path;
}

/**
 * Streams an image archive once. Layers can be told from other files only by the manifest, which may come last, so
 * whatever is a tar stream (plain, gzip or zstd) is taken for one and given to `onLayer`, uncompressed.
 * @throws UserError where it is no archive, is damaged, or names a file twice
 */
export async function scanArchive(
  archive: string,
  source: Bytes,
  onLayer: (path: string, tar: Bytes) => Promise<void>,
): Promise<ArchiveIndex> {
  const index: ArchiveIndex = { documents: new Map(), skipped: new Set(), links: new Map() };
  const seen = new Set<string>();
  let entries = 0;
  let documents = 0;
  try {
    const { data } = await openTar(archive, source);
    for await (const { entry, body } of readTar(data)) {
      entries += 1;
      if (entries > maximumEntries) throw unusable(archive, `it holds more than ${maximumEntries} entries`);
      const path = pathIn(archive, entry.name);
      if (entry.type === 'directory') continue;
      if (seen.has(path)) throw unusable(archive, `it holds ${readable(path)} twice`);
      seen.add(path);
      if (entry.type === 'symlink') index.links.set(path, posix.join(posix.dirname(path), entry.linkName));
      else if (entry.type === 'hard link') index.links.set(path, pathIn(archive, entry.linkName));
      if (entry.type !== 'file') continue;

      const blob = await openBlob(archive, path, body);
      if (blob.isTar) {
        await onLayer(path, blob.data);
        continue;
      }
      const document = await collect(blob.data, maximumDocument);
      documents += document?.length ?? 0;
      if (documents > maximumDocuments) throw unusable(archive, 'its manifests are too large');
      if (document === undefined) index.skipped.add(path);
      else index.documents.set(path, document);
    }
  } catch (error) {
    if (error instanceof MalformedError) throw unusable(archive, error.message, saveHint, error);
    throw error;
  }
  return index;
}

async function openTar(archive: string, source: Bytes): Promise<{ data: Bytes }> {
  const outer = await decompressed(source);
  const refusal = otherFormats[outer.format];
  if (refusal !== undefined) throw unusable(archive, refusal);
  const { head, all } = await peek(outer.data, blockSize);
  if (head.length === 0) throw unusable(archive, 'it is empty');
  if (!isHeader(head) && !isEnd(head)) throw unusable(archive, 'it is not a tar archive');
  return { data: all };
}

async function openBlob(
  archive: string,
  path: string,
  body: Bytes,
): Promise<{ isTar: boolean; data: Bytes }> {
  try {
    const inner = await decompressed(body);
    const { head, all } = await peek(inner.data, blockSize);
    return { isTar: isHeader(head) || isEnd(head), data: all };
  } catch (error) {
    if (error instanceof MalformedError)
      throw unusable(archive, `in ${readable(path)}, ${error.message}`, saveHint, error);
    throw error;
  }
}

/** The path that a name in a manifest leads to, links followed. */
export function followLinks(index: ArchiveIndex, name: string): string {
  let path = posix.normalize(name);
  for (let hops = 0; hops < 8; hops++) {
    const next = index.links.get(path);
    if (next === undefined) break;
    path = next;
  }
  return path;
}

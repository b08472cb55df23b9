import { readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Cache, type CacheDraft, contentKey } from '../graph/cache.ts';
import { recordedDigest } from '../host/digests.ts';
import { UserError } from '../host/errors.ts';
import type { Bytes } from '../host/tar/bytes.ts';
import { type Accounts, effectiveAccounts } from './accounts.ts';
import { openArchiveFile } from './archive/file.ts';
import { type Image, imageOf } from './archive/image.ts';
import { type ArchiveIndex, followLinks, scanArchive, unusable } from './archive/scan.ts';
import {
  type ConvertedLayer,
  converterVersion,
  convertLayer,
  makeFolderLayer,
  squashfsName,
} from './layer/convert.ts';
import { foldersToRestore } from './layer/folders.ts';
import { missingFolders, noFoldersAt } from './mount-points.ts';
import { allMountPoints } from './runtime/mounts.ts';
import { volumesOf } from './runtime/volumes.ts';
import { type Layer, recordSchema, type Workload, type WorkloadRecord } from './workload.ts';

export interface ImportOptions {
  /** A `docker save` archive or an OCI layout in a tar; plain, gzip or zstd. */
  archive: string;
  cache: Cache;
  signal?: AbortSignal;
  /** Bytes of the archive read so far, over all passes; `total` counts one pass for a cached archive, else two. */
  progress?: (progress: { done: number; total: number }) => void;
  /** Called once for each thing that was left out of the image. */
  warn: (text: string) => void;
}

/** A converted layer that is not in the cache yet. */
interface Pending extends ConvertedLayer {
  draft: CacheDraft;
}

const recordName = 'workload.json';

function layerKey(diffId: string): string {
  return `${diffId.replace(':', '-')}-v${converterVersion}`;
}

/**
 * Imports a docker archive: every layer becomes a squashfs in the cache.
 *
 * The archive is hashed first; a known one costs no more than that. Else one pass converts all that looks like a
 * layer, and only when the manifest and every digest proved right does anything enter the cache. Each pass is compared with the
 * hash on the way: the key of the cache is that of the bytes that were converted.
 * @throws UserError where the archive is damaged, holds no image or several, one for another machine, hostile entries,
 *   or a layer other than the one its configuration names
 */
export async function importArchive(options: ImportOptions): Promise<Workload> {
  const { archive, cache, signal } = options;
  let done = 0;
  let passes = 1;
  await using file = await openArchiveFile(archive, {
    signal,
    onBytes(count) {
      done += count;
      options.progress?.({ done, total: file.size * passes });
    },
  });
  const digest = await file.digest();
  const key = archiveKey(digest);
  const known = await cachedWorkload(options, digest);
  if (known !== undefined) return known;

  await using drafts = new AsyncDisposableStack();
  const converted = new Map<string, Pending>();
  const warnings = new Set<string>();
  const convert = async (path: string, tar: Bytes, skip?: ReadonlySet<number>) => {
    const draft = drafts.use(await cache.draft());
    const warn = (text: string) => void warnings.add(text);
    converted.set(path, { draft, ...(await convertLayer(tar, draft.folder, { warn, skip, signal })) });
  };
  passes = 2;
  const index = await scanArchive(archive, file.read(), convert);
  const image = imageOf(archive, index);
  const paths = layerPaths(archive, index, image, converted);

  // Rare: layers in which a later entry replaces a file that was already written.
  const again = new Map([...new Set(paths)].map((path) => [path, converted.get(path)!.superseded] as const));
  if ([...again.values()].some(({ size }) => size > 0)) {
    passes = 3;
    await scanArchive(archive, file.read(), async (path, tar) => {
      const skip = again.get(path);
      if (skip !== undefined && skip.size > 0) await convert(path, tar, skip);
      else for await (const _ of tar);
    });
  }

  const pending = paths.map((path) => converted.get(path)!);
  checkDiffIds(archive, image, paths, pending);
  const first = pending.findLastIndex(({ hidesAllBelow }) => hidesAllBelow);
  const visible = first < 0 ? pending : pending.slice(first);
  // Of the image as a whole, so that layers are counted as the image does.
  const trees = pending.map((layer) => layer.folders);
  const missing = missingFolders(trees, volumesOf(image.config));
  const folders = foldersToRestore(trees.slice(pending.length - visible.length), missing);
  refuseTooMany(archive, visible.length + (folders.length > 0 ? 1 : 0));
  const layers = new Map<string, Layer>();
  for (const { diffId, draft } of visible) {
    if (layers.has(diffId)) continue;
    layers.set(diffId, await layerAt(diffId, await draft.commit('layer', layerKey(diffId))));
  }
  const diffIds = visible.map(({ diffId }) => diffId);
  if (folders.length > 0) {
    const draft = drafts.use(await cache.draft());
    const id = await makeFolderLayer(folders, draft.folder, signal);
    layers.set(id, await layerAt(id, await draft.commit('layer', layerKey(id))));
    diffIds.push(id);
  }
  const accounts: Accounts = effectiveAccounts(visible);
  const record: WorkloadRecord = {
    ...(image.reference === undefined ? {} : { reference: image.reference }),
    imageId: image.id,
    diffIds,
    config: image.config,
    noFolders: noFoldersAt(trees, allMountPoints),
    accounts,
    warnings: [...warnings],
  };
  await cache.entry('workload', key, (folder) =>
    writeFile(join(folder, recordName), `${JSON.stringify(record)}\n`),
  );
  for (const warning of warnings) options.warn(warning);
  return workload(
    digest,
    record,
    record.diffIds.map((diffId) => layers.get(diffId)!),
    false,
  );
}

/**
 * The workload of an archive that was imported before, at the price of hashing it.
 * @returns undefined where it has to be converted.
 */
export async function cachedArchive(options: ImportOptions): Promise<Workload | undefined> {
  await using file = await openArchiveFile(options.archive, { signal: options.signal, onBytes: () => {} });
  return cachedWorkload(options, await file.digest());
}

function archiveKey(digest: string): string {
  return contentKey('workload', converterVersion, digest);
}

async function cachedWorkload({ cache, warn }: ImportOptions, digest: string): Promise<Workload | undefined> {
  const known = await readRecord(cache, archiveKey(digest));
  if (known === undefined) return undefined;
  for (const warning of known.record.warnings) warn(warning);
  return workload(digest, known.record, known.layers, true);
}

function workload(
  archiveSha256: string,
  record: WorkloadRecord,
  layers: Layer[],
  fromCache: boolean,
): Workload {
  const { reference, imageId, config, noFolders } = record;
  const { passwd, group } = record.accounts;
  return {
    ...(reference === undefined ? {} : { reference }),
    archiveSha256,
    imageId,
    layers,
    config,
    accounts: { ...(passwd === undefined ? {} : { passwd }), ...(group === undefined ? {} : { group }) },
    noFolders,
    fromCache,
  };
}

async function layerAt(diffId: string, folder: string): Promise<Layer> {
  const squashfs = join(folder, squashfsName);
  return { diffId, squashfs, bytes: (await stat(squashfs)).size, sha256: await recordedDigest(squashfs) };
}

/** The record of an archive seen before, where all of its layers are still in the cache. */
async function readRecord(
  cache: Cache,
  key: string,
): Promise<{ record: WorkloadRecord; layers: Layer[] } | undefined> {
  const folder = await cache.lookup('workload', key);
  if (folder === undefined) return undefined;
  const { success, data: record } = recordSchema.safeParse(
    JSON.parse(await readFile(join(folder, recordName), 'utf8')),
  );
  if (!success) return undefined;
  const layers: Layer[] = [];
  for (const diffId of record.diffIds) {
    const entry = await cache.lookup('layer', layerKey(diffId));
    if (entry === undefined) return undefined;
    layers.push(await layerAt(diffId, entry));
  }
  return { record, layers };
}

/** overlayfs takes 500 lower layers (Linux, fs/overlayfs: OVL_MAX_STACK). */
const mostLayers = 500;

function refuseTooMany(archive: string, count: number): void {
  if (count <= mostLayers) return;
  throw new UserError(
    `cannot run docker archive ${archive}: it comes to ${count} layers, and overlayfs stacks ${mostLayers} at most`,
    { hint: 'build the image with fewer layers: join RUN and COPY steps, or squash it' },
  );
}

function layerPaths(
  archive: string,
  index: ArchiveIndex,
  image: Image,
  converted: ReadonlyMap<string, unknown>,
): string[] {
  return image.layers.map((name) => {
    const path = followLinks(index, name);
    if (converted.has(path)) return path;
    const there = index.documents.has(path) || index.skipped.has(path);
    throw unusable(archive, there ? `its layer ${name} is not a tar` : `its layer ${name} is missing`);
  });
}

/** A layer is what the image configuration says, or the build ends (an archive could claim another image's layer). */
function checkDiffIds(
  archive: string,
  image: Image,
  paths: readonly string[],
  layers: readonly ConvertedLayer[],
): void {
  for (const [i, claimed] of image.config.rootfs.diff_ids.entries()) {
    const actual = layers[i]!.diffId;
    if (actual === claimed) continue;
    throw new UserError(
      `cannot read docker archive ${archive}: layer ${i + 1} (${paths[i]}) is ${actual}, its configuration says ${claimed}`,
      { hint: 'the archive is damaged or was altered: save the image again' },
    );
  }
}

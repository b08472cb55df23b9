import { mkdir, readdir, readlink, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { hasCode, UserError } from '../../host/errors.ts';
import { type FileLock, lockFile } from '../../host/lock.ts';
import { type ImageRecord, imageRecord } from './record.ts';
import { type LoadedRegistry, loadRegistry, type Registry, storeRegistry } from './registry-file.ts';

export type { Registry } from './registry-file.ts';

/** Absolute path of a policy directory's registry. */
export function registryPath(directory: string): string {
  return join(directory, 'cvm-registry.json');
}

/**
 * The one lock of a policy directory: held for every change of the registry and of the policy made from it.
 * @throws UserError where one of the two is a symbolic link.
 */
export async function lockPolicyDirectory(directory: string, signal?: AbortSignal): Promise<FileLock> {
  for (const path of [registryPath(directory), join(directory, 'policy.rego')]) await refuseLink(path);
  const lock = await lockFile(join(directory, '.cvm-registry.lock'), { signal });
  await sweepKilledWrites(directory);
  return lock;
}

/** Files are replaced as a whole: that would put a file where a link was, and whoever reads its target sees no change. */
async function refuseLink(path: string): Promise<void> {
  let target: string;
  try {
    target = await readlink(path);
  } catch (error) {
    if (hasCode(error, 'ENOENT') || hasCode(error, 'EINVAL')) return;
    throw error;
  }
  throw new UserError(`cannot change ${path}: it is a symbolic link to ${target}`, {
    hint: 'put the file itself there; "cvm policy push" brings the policy to a key broker',
  });
}

/** What a writer that was killed left half-written. Only the holder of the lock writes, so nobody is at it. */
async function sweepKilledWrites(directory: string): Promise<void> {
  const abandoned = /^\.(?:cvm-registry\.json(?:\.bak)?|policy\.rego)\.[0-9a-f]{12}\.tmp$/;
  for (const name of await readdir(directory)) {
    if (abandoned.test(name)) await rm(join(directory, name), { force: true });
  }
}

/**
 * Reads a policy directory's registry; undefined where there is none yet. Needs no lock: the file is only ever
 * replaced as a whole.
 * @throws UserError naming line and column where it is damaged.
 */
export async function readRegistry(directory: string): Promise<Registry | undefined> {
  return (await loadRegistry(registryPath(directory)))?.registry;
}

export interface AddImageOptions {
  /** Leave the site's earlier images active. */
  keepPrevious?: boolean;
  /** Id of an image that this one was built again from: retired as well, whatever is known of its project. */
  rebuiltFrom?: string | undefined;
  signal?: AbortSignal | undefined;
}

/**
 * Adds an image. Earlier active images of the same project and name are retired, so that an old image of a site
 * does not keep its right to a key; without a project there is no telling whether they are the same site, and
 * nothing is retired. The directory and its registry are made where they are missing.
 * @returns ids of the images that were retired.
 * @throws UserError where the id or the resource path is taken, or the registry holds the other kind of images.
 */
export async function addImage(
  directory: string,
  record: ImageRecord,
  options: AddImageOptions = {},
): Promise<{ superseded: string[] }> {
  const { error } = imageRecord.safeParse(record);
  if (error) {
    const { path, message } = error.issues[0]!;
    throw new UserError(`cannot register image ${record.id}: ${path.join('.')}: ${message}`);
  }
  await mkdir(directory, { recursive: true });
  return change(directory, options.signal, (loaded) => {
    const registry = loaded ?? { version: 1, kind: record.kind, images: [] };
    if (registry.kind !== record.kind) {
      throw new UserError(
        `cannot register ${record.kind} image ${record.id}: ${registryPath(directory)} is a ${registry.kind} registry`,
        { hint: 'development images need a policy directory of their own' },
      );
    }
    if (registry.images.some(({ id }) => id === record.id)) {
      throw new UserError(`cannot register image ${record.id}: that id is registered already`);
    }
    const superseded = registry.images
      .filter((image) => supersedes(record, image, options))
      .map(({ id }) => id);
    const images = registry.images.map((image) => (superseded.includes(image.id) ? retired(image) : image));
    const holder = images.find(
      (image) => image.status === 'active' && image.resourcePath === record.resourcePath,
    );
    if (holder !== undefined && record.status === 'active') {
      throw new UserError(
        `cannot register image ${record.id}: ${record.resourcePath} is the key of active image ${holder.id}`,
      );
    }
    return { registry: { ...registry, images: [...images, record] }, result: { superseded } };
  });
}

/**
 * Takes an image's right to its key away. The policy changes once it is written again.
 * @returns the record as it is now; retiring an image twice changes nothing.
 * @throws UserError where no such image is registered.
 */
export async function retireImage(
  directory: string,
  id: string,
  options: { signal?: AbortSignal | undefined } = {},
): Promise<ImageRecord> {
  const missing = () =>
    new UserError(`cannot retire image ${id}: it is not in ${registryPath(directory)}`, {
      hint: 'ids have 12 hex digits; they are in the manifest and in the name of the bundle folder',
    });
  if ((await readRegistry(directory)) === undefined) throw missing();
  return change(directory, options.signal, (registry) => {
    const found = registry?.images.find((image) => image.id === id);
    if (registry === undefined || found === undefined) throw missing();
    const result = retired(found);
    const images = registry.images.map((image) => (image.id === id ? result : image));
    return { registry: { ...registry, images }, result };
  });
}

/**
 * Puts another record in the place of an active image's, in one step: a reader sees the old one or the new one. Earlier active
 * images of the same site are retired, as {@link addImage} does. Doing it again changes nothing.
 * @param edit makes the new record of the present one; the same object for no change
 * @returns the record as it is now
 * @throws UserError where no such image is active.
 */
export async function replaceRecord(
  directory: string,
  id: string,
  edit: (present: ImageRecord) => ImageRecord,
  options: { signal?: AbortSignal | undefined } = {},
): Promise<ImageRecord> {
  const missing = () =>
    new UserError(`cannot replace image ${id}: it is not active in ${registryPath(directory)}`, {
      hint: 'an image that was retired is built again under a new id, without --keep-id',
    });
  if ((await readRegistry(directory)) === undefined) throw missing();
  return change(directory, options.signal, (registry) => {
    const found = registry?.images.find((image) => image.id === id && image.status === 'active');
    if (registry === undefined || found === undefined) throw missing();
    const result = edit(found);
    const images = registry.images.map((image) => {
      if (image === found) return result;
      return image.status === 'active' && isSameSite(image, result) ? retired(image) : image;
    });
    return { registry: { ...registry, images }, result };
  });
}

/**
 * Takes back {@link addImage}: the image is no longer registered, and what it superseded is active again. For builds
 * that fail after their image was registered.
 */
export async function withdrawImage(
  directory: string,
  id: string,
  superseded: readonly string[],
): Promise<void> {
  await change(directory, undefined, (registry) => {
    if (registry === undefined) throw new Error(`${registryPath(directory)} has gone`);
    const others = registry.images.filter((image) => image.id !== id);
    // What a third build has superseded meanwhile stays retired.
    const hasSuccessor = (earlier: ImageRecord) =>
      others.some((image) => image.status === 'active' && isSameSite(image, earlier));
    const images = others.map(
      (image): ImageRecord =>
        superseded.includes(image.id) && !hasSuccessor(image) ? { ...image, status: 'active' } : image,
    );
    return { registry: { ...registry, images }, result: undefined };
  });
}

function supersedes(record: ImageRecord, earlier: ImageRecord, options: AddImageOptions): boolean {
  if (options.keepPrevious || record.status !== 'active' || earlier.status !== 'active') return false;
  return earlier.id === options.rebuiltFrom || isSameSite(record, earlier);
}

/** Without a project there is no telling. */
function isSameSite(one: ImageRecord, other: ImageRecord): boolean {
  return one.project !== undefined && one.project === other.project && one.name === other.name;
}

function retired(image: ImageRecord): ImageRecord {
  return { ...image, status: 'retired' };
}

/** Reads, changes and replaces a registry under the lock. */
async function change<Result>(
  directory: string,
  signal: AbortSignal | undefined,
  edit: (registry: Registry | undefined) => { registry: Registry; result: Result },
): Promise<Result> {
  await using _lock = await lockPolicyDirectory(directory, signal);
  const path = registryPath(directory);
  const before: LoadedRegistry | undefined = await loadRegistry(path);
  const { registry, result } = edit(before?.registry);
  await storeRegistry(path, registry, before);
  return result;
}

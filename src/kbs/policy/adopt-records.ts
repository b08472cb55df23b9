import { createHash } from 'node:crypto';
import { exitStatus, UserError } from '../../host/errors.ts';
import { type ImageRecord, launchDigestsOf, resourcePathPattern } from '../registry/record.ts';
import { registryPath } from '../registry/registry.ts';
import type { Registry } from '../registry/registry-file.ts';
import { digestEncodings } from './entry.ts';
import type { OldEntry } from './old-entries.ts';

/** Where the keys of entries lie that name no path themselves. */
export interface Places {
  /** For the one image without a path. */
  resource?: string | undefined;
  /** By the first characters of a launch digest, hex or base64, as the policy writes it. */
  map?: readonly { prefix: string; path: string }[] | undefined;
}

/** What becomes of an entry. */
export interface AdoptedEntry {
  entry: OldEntry;
  path: string;
  /** `known`: the registry has it; `retired`: the registry says that it has lost its right. */
  fate: 'new' | 'known' | 'retired';
  /** Image of the registry. */
  image: string;
}

const usage = (message: string, hint: string, details: string[] = []) =>
  new UserError(message, { hint, details, status: exitStatus.usage });

/**
 * Finds the path of every entry.
 * @param lineOf line of an entry in its file, for messages.
 * @throws UserError naming each entry without a path, and every option that fits none or several.
 */
export function placeEntries(
  entries: readonly OldEntry[],
  places: Places,
  lineOf: (entry: OldEntry) => number,
): { entry: OldEntry; path: string }[] {
  const { resource, map = [] } = places;
  for (const path of [...map.map((each) => each.path), ...(resource === undefined ? [] : [resource])]) {
    if (resourcePathPattern.test(path)) continue;
    throw usage(
      `cannot adopt under ${JSON.stringify(path)}: it is no resource path`,
      'write <repository>/<type>/<tag>',
    );
  }
  const mapped = new Map<OldEntry, string>();
  for (const { prefix, path } of map) {
    const fitting = entries.filter((entry) => entry.digests.some((hex) => beginsWith(hex, prefix)));
    const images = new Set(fitting.map(imageKey));
    if (images.size !== 1) {
      const cause = images.size === 0 ? 'no entry' : `${images.size} images`;
      throw usage(
        `cannot adopt with --map ${prefix}=${path}: ${cause} with a digest that begins so`,
        'give more of the digest',
      );
    }
    for (const entry of fitting) {
      const other = mapped.get(entry) ?? entry.path;
      if (other !== undefined && other !== path) {
        throw usage(
          `cannot adopt with --map ${prefix}=${path}: line ${lineOf(entry)} is for ${other}`,
          'name one path',
        );
      }
      mapped.set(entry, path);
    }
  }
  const pathOf = (entry: OldEntry) => mapped.get(entry) ?? entry.path;
  const without = entries.filter((entry) => pathOf(entry) === undefined);
  const images = new Set(without.map(imageKey));
  if (images.size > 0 && resource === undefined) {
    throw usage(
      `cannot adopt ${without.length === 1 ? 'an entry' : `${without.length} entries`}: no resource path is known for it`,
      'give --map <first characters of the digest>=<repository>/<type>/<tag> for each; older builders used keys/root/<id>',
      without.map(
        (entry) => `line ${lineOf(entry)}: ${entry.digests.map((hex) => hex.slice(0, 16)).join(', ')}`,
      ),
    );
  }
  if (images.size > 1) {
    throw usage(
      `cannot adopt ${images.size} images under ${resource}: each could read the key of the others`,
      'give --map <first characters of the digest>=<path> for each',
      without.map(
        (entry) => `line ${lineOf(entry)}: ${entry.digests.map((hex) => hex.slice(0, 16)).join(', ')}`,
      ),
    );
  }
  return entries.map((entry) => ({ entry, path: pathOf(entry) ?? resource! }));
}

/** Entries with the same digests are one image, written twice. */
const imageKey = ({ digests }: OldEntry) => [...digests].sort().join();

function beginsWith(hex: string, prefix: string): boolean {
  return (
    prefix !== '' && (hex.startsWith(prefix.toLowerCase()) || digestEncodings(hex).base64.startsWith(prefix))
  );
}

/**
 * Puts entries into a registry: those of one path become one image. What the registry knows already is left as it is,
 * so that an adoption that was interrupted can be done again.
 * @throws UserError where a path is the key of another image.
 */
export function adoptInto(
  directory: string,
  registry: Registry | undefined,
  placed: readonly { entry: OldEntry; path: string }[],
  now: Date,
): { registry: Registry; adopted: AdoptedEntry[] } {
  if (registry?.kind === 'development') {
    throw new UserError(`cannot adopt into ${registryPath(directory)}: it is a development registry`, {
      hint: 'older builders made production images',
    });
  }
  const images = [...(registry?.images ?? [])];
  const adopted: AdoptedEntry[] = [];
  const fresh = new Map<string, { digests: string[]; entries: OldEntry[] }>();
  for (const { entry, path } of placed) {
    const holder = images.find((image) => image.status === 'active' && image.resourcePath === path);
    const isOf = (image: ImageRecord) => entry.digests.every((hex) => launchDigestsOf(image).includes(hex));
    const retired = images.find(
      (image) => image.status === 'retired' && image.resourcePath === path && isOf(image),
    );
    if (holder !== undefined && isOf(holder)) adopted.push({ entry, path, fate: 'known', image: holder.id });
    else if (retired !== undefined) adopted.push({ entry, path, fate: 'retired', image: retired.id });
    else if (holder !== undefined) {
      throw new UserError(`cannot adopt an entry for ${path}: that is the key of active image ${holder.id}`, {
        hint: `its digests are others; if they are the same VM's, retire ${holder.id} first`,
      });
    } else {
      const group = fresh.get(path) ?? { digests: [], entries: [] };
      group.digests.push(...entry.digests.filter((hex) => !group.digests.includes(hex)));
      group.entries.push(entry);
      fresh.set(path, group);
    }
  }
  const at = now.toISOString();
  for (const [resourcePath, { digests, entries }] of fresh) {
    const id = idFor(resourcePath, digests, new Set(images.map((image) => image.id)));
    const name = resourcePath.split('/').at(-1)!.slice(0, 200);
    images.push({
      id,
      name,
      resourcePath,
      digests: [],
      adopted: { at, digests },
      builtAt: at,
      status: 'active',
      kind: 'production',
    });
    for (const entry of entries) adopted.push({ entry, path: resourcePath, fate: 'new', image: id });
  }
  return { registry: { version: 1, kind: 'production', images }, adopted };
}

/** The id that the path ends in, as older builders named keys; else one made from the entry, always the same. */
function idFor(path: string, digests: readonly string[], taken: ReadonlySet<string>): string {
  const own = /\/([0-9a-f]{12})$/.exec(path)?.[1];
  if (own !== undefined && !taken.has(own)) return own;
  for (let round = 0; ; round += 1) {
    const hash = createHash('sha256')
      .update(JSON.stringify([path, digests, round]))
      .digest('hex')
      .slice(0, 12);
    if (!taken.has(hash)) return hash;
  }
}

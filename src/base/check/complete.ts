import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Cache, contentKey } from '../../graph/cache.ts';
import { exitStatus, UserError } from '../../host/errors.ts';
import { sha256File } from '../../host/files.ts';
import { type Base, type BaseMeta, baseKind, openBase } from '../base.ts';
import { addPackages } from './add-packages.ts';
import { type BaseReport, inspectBase } from './inspect.ts';
import { takeKernel } from './kernel.ts';
import { PrivateCopy } from './private-copy.ts';
import { missingLine, packagesOf } from './require.ts';

export interface CompleteOptions {
  cache: Cache;
  /** The base to complete; it stays as it is. It need not have a kernel. */
  base: Pick<Base, 'id' | 'squashfs' | 'origin'>;
  /** Folder with enter.sh, complete.sh, finish.sh and what that calls. */
  recipe: string;
  signal?: AbortSignal | undefined;
  progress?: (text: string) => void;
}

/** A base has one completion at most, so that it is found by the base alone. */
export const completionKey = (id: string) => contentKey('completed', '1', id);

/** What an earlier {@link completeBase} made of a base, if it did. */
export async function completedBase(cache: Cache, base: Pick<Base, 'id'>): Promise<Base | undefined> {
  const folder = await cache.lookup(baseKind, completionKey(base.id));
  return folder === undefined ? undefined : openBase(folder);
}

/**
 * Adds the packages that a base lacks, inside a private copy of it and from its own apt sources. **Programs of the image
 * run for this**: as root of a user namespace that owns nothing on the host, with no file but the copy and the host's
 * network. Needs user namespaces and a network.
 * @returns undefined where nothing is missing
 * @throws UserError where the machine cannot, or packages do not bring all that is missing.
 */
export async function completeBase(options: CompleteOptions): Promise<Base | undefined> {
  const { cache, base, recipe, signal, progress } = options;
  const known = await completedBase(cache, base);
  if (known !== undefined) {
    if ((await inspectBase(known.squashfs, { signal, missingOnly: true })).missing.length === 0) return known;
    await cache.remove(baseKind, completionKey(base.id));
  }
  const report = await inspectBase(base.squashfs, { signal, missingOnly: true });
  if (report.missing.length === 0) return undefined;
  refuseHopeless(report);
  const packages = packagesOf(report.missing);
  const folder = await cache.entry(baseKind, completionKey(base.id), async (entry) => {
    const squashfs = join(entry, 'base.squashfs');
    progress?.('programs of the image are run for this: apart from the host, with its network');
    progress?.('unpacking a private copy');
    await using copy = await PrivateCopy.unpack(base.squashfs, signal);
    progress?.(`installing ${packages.join(', ')}`);
    await addPackages(copy, { recipe, packages, signal });
    progress?.('packing it');
    await copy.pack(squashfs, signal);
    progress?.('checking the result');
    const { missing } = await inspectBase(squashfs, { signal, missingOnly: true });
    if (missing.length > 0) {
      throw new UserError(`cannot complete the base: with ${packages.join(', ')} added, it still lacks`, {
        details: missing.map(missingLine),
      });
    }
    const kernelRelease = await takeKernel(entry, signal);
    const { hex: id } = await sha256File(squashfs, { signal });
    const origin = `${base.origin}, completed with ${packages.join(', ')}`;
    const meta: BaseMeta = { id, kernelRelease, origin, builtAt: new Date().toISOString() };
    await writeFile(join(entry, 'meta.json'), JSON.stringify(meta));
  });
  return openBase(folder);
}

/** @throws UserError where adding packages cannot help. */
function refuseHopeless({ distribution, missing }: BaseReport): void {
  if (distribution.family === undefined) {
    throw new UserError(`cannot complete the base: ${distribution.name} has no apt`, {
      hint: 'install what `cvm base inspect` names in the image itself',
      status: exitStatus.usage,
    });
  }
  const hopeless = missing.filter((item) => item.package === undefined);
  if (hopeless.length === 0) return;
  throw new UserError('cannot complete the base: no package of its distribution brings what it lacks', {
    details: hopeless.map(missingLine),
    hint: 'take an image of Debian 12 or Ubuntu 24.04, or later',
  });
}

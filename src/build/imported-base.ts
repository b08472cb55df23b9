import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { type Base, cachedImport, type ImportSource, importBase } from '../base/index.ts';
import type { Cache } from '../graph/cache.ts';
import type { Progress } from '../graph/events.ts';
import { exitStatus, UserError } from '../host/errors.ts';
import { existingPath, pathContext } from './builder-file.ts';
import type { BuildSettings } from './settings.ts';

/** Names of files in base_images that are imported without being asked for. */
const automatic = [
  'qcow2',
  'raw',
  'img',
  'vmdk',
  'vhdx',
  'tar',
  'tar.gz',
  'tar.xz',
  'tar.zst',
  'squashfs',
].map((extension) => `ubuntu_base.${extension}`);

/**
 * What the base of a build is imported from: `base.image` of builder.yml, else the `ubuntu_base.*` in base_images.
 * @returns undefined where the base is built
 * @throws UserError where that cannot be told
 */
export function imageToImport({
  builder,
  builderFolder,
  baseImages,
}: BuildSettings): ImportSource | undefined {
  const { image, kernel, suite } = builder.base;
  if (image !== undefined) return { file: existingPath(image, pathContext(builderFolder)), kernel };
  const found = automatic.map((name) => join(baseImages, name)).filter((file) => existsSync(file));
  if (found.length > 1) {
    throw new UserError(`cannot choose the base: ${baseImages} holds more than one`, {
      details: found,
      hint: 'remove all but one, or name one as base.image in builder.yml',
      status: exitStatus.usage,
    });
  }
  const [file] = found;
  if (file !== undefined && suite === undefined) return { file, kernel };
  if (kernel !== undefined) {
    throw new UserError(
      'cannot honour base.kernel: it chooses a kernel of an imported base, and none is imported',
      {
        hint: 'name the image as base.image in builder.yml, or put it into base_images as ubuntu_base.qcow2',
        status: exitStatus.usage,
      },
    );
  }
  return undefined;
}

interface ImportReport {
  signal: AbortSignal;
  progress: (progress: Progress) => void;
  note: (text: string) => void;
  warn: (text: string) => void;
  usedCache: (detail?: string) => void;
}

/** Imports the base of a build, or takes it from the cache. @throws UserError */
export async function importedBase(
  settings: BuildSettings,
  image: ImportSource,
  cache: Cache,
  report: ImportReport,
): Promise<Base> {
  if (settings.builder.base.image === undefined) {
    report.note(
      `${image.file} is the base, because it lies there; base.suite in builder.yml has one built instead`,
    );
  }
  if (settings.refreshBase) report.warn('--refresh-base has no effect: the base is imported');
  const { base, fromCache } = await importBase({ ...image, cache, ...report });
  if (fromCache) report.usedCache();
  return base;
}

/** For the plan: the imported base where it is in the cache. */
export async function knownImport(
  image: ImportSource,
  cache: Cache,
  signal: AbortSignal,
): Promise<Base | undefined> {
  return cachedImport({ ...image, cache, signal });
}

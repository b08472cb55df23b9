import { mkdir, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { UserError } from '../../host/errors.ts';
import type { AptSource } from '../apt.ts';
import { aptOfSuite } from './archive.ts';

const sourcePackage = 'edk2';

/**
 * Suite of the source and of the tool chain. Stable: packages change there only for security fixes and point
 * releases, and the known result depends on every one of them.
 */
export const sourceSuite = 'trixie';

export interface FirmwareSource {
  /** Debian version of the source package. */
  version: string;
  /** Full paths of the `.orig` and the `.debian` archive. */
  archives: string[];
}

/**
 * Fetches Debian's edk2 source into `folder`. The suite's signed index names both archives with their SHA-256, and
 * apt checks them; the .dsc says nothing more, and some mirrors lack it.
 * @throws UserError where the archive cannot be reached.
 */
export async function fetchSource(
  archive: AptSource,
  folder: string,
  signal?: AbortSignal,
): Promise<FirmwareSource> {
  const lists = join(folder, 'source-lists');
  const target = join(folder, 'source');
  await mkdir(lists);
  await mkdir(target);
  const { apt } = await aptOfSuite(archive, sourceSuite, lists, { sources: true, signal });
  const version = versionOf(await apt.get(['source', '--print-uris', sourcePackage], { signal }));
  for (const part of ['--tar-only', '--diff-only']) {
    await apt.get(['source', '--download-only', part, `${sourcePackage}=${version}`], {
      signal,
      cwd: target,
    });
  }
  const archives = (await readdir(target)).map((name) => join(target, name));
  if (archives.length !== 2) {
    throw new UserError(
      `cannot fetch the source of the firmware: apt left ${archives.length} files, not two`,
    );
  }
  return { version, archives };
}

/**
 * The version in apt's list `'<URI>' <file> <size> SHA256:<hex>`, a line for each file of the source. File names
 * leave out an epoch; edk2 has none.
 * @throws UserError where the list names no Debian archive.
 */
export function versionOf(uris: string): string {
  const version = new RegExp(
    `' ${sourcePackage}_(\\S+)\\.debian\\.tar\\.\\w+ \\d+ SHA256:[0-9a-f]{64}$`,
    'm',
  ).exec(uris)?.[1];
  if (version !== undefined) return version;
  throw new UserError(`cannot fetch the source of the firmware: ${sourceSuite} has none with a SHA-256`, {
    hint: "the host's mirror must have the source packages of that suite",
  });
}

import { lstat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { sha256File } from '../host/files.ts';
import { readManifest, writeManifest } from './manifest.ts';
import { changingFiles, hashedFiles, manifestName } from './names.ts';

/** A file of a bundle as its manifest lists it. */
export interface FileListing {
  /** True where the manifest lists the file byte for byte as it is now. */
  isListed(): Promise<boolean>;
  /** Writes SHA-256 and size of another file into the manifest, in the place of this file's. */
  list(file: string): Promise<void>;
}

/**
 * The entry of a file in the manifest beside it, for tools that change the file and keep the manifest true. Undefined where there is no
 * manifest, or where it is one of the drives that change in use: the manifest tells how those were built, and `cvm verify` only notes
 * the change.
 */
export async function listingOf(path: string): Promise<FileListing | undefined> {
  const [folder, name] = [dirname(path), basename(path)];
  const listed = hashedFiles.find((candidate) => candidate === name);
  if (listed === undefined || changingFiles.has(name)) return undefined;
  if ((await lstat(join(folder, manifestName)).catch(() => undefined)) === undefined) return undefined;
  return {
    async isListed() {
      const { files } = await readManifest(folder);
      return files[listed].sha256 === (await sha256File(path)).hex;
    },
    async list(file) {
      const manifest = await readManifest(folder);
      const { hex, size } = await sha256File(file);
      await writeManifest(folder, {
        ...manifest,
        files: { ...manifest.files, [listed]: { sha256: hex, bytes: size } },
      });
    },
  };
}

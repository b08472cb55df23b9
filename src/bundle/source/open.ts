import { stat } from 'node:fs/promises';
import { fileBlocks } from '../../host/disk/blocks.ts';
import { messageOf } from '../../host/errors.ts';
import { openRegularFile } from '../../host/files.ts';
import { workDirectory } from '../../host/temp.ts';
import { cannotOpen } from '../archive-names.ts';
import { openBundle } from '../open.ts';
import { filesInTar } from './archive.ts';
import { folderSource } from './folder.ts';
import type { BundleSource } from './source.ts';
import { openStoredGzip } from './stored-gzip.ts';

/**
 * Opens a bundle to be looked at: a folder, or an archive. An archive as this builder packs them is read where it lies; one that
 * was compressed is unpacked into a private folder.
 * @throws UserError where it is no bundle
 */
export async function openSource(
  path: string,
  options: { signal?: AbortSignal | undefined } = {},
): Promise<BundleSource> {
  const found = await stat(path).catch(() => undefined);
  return (found?.isFile() ? await inPlace(path) : undefined) ?? (await unpacked(path, options));
}

async function inPlace(path: string): Promise<BundleSource | undefined> {
  const handle = await openRegularFile(path).catch((error: unknown) => {
    throw cannotOpen(path)(messageOf(error));
  });
  try {
    const archive = await openStoredGzip(fileBlocks(handle, (await handle.stat()).size));
    if (archive !== undefined) {
      const { folderName, files } = await filesInTar(path, archive);
      return {
        folderName,
        path,
        file: async (name) => files.get(name) ?? 'missing',
        [Symbol.asyncDispose]: () => handle.close(),
      };
    }
  } catch (error) {
    await handle.close();
    throw error;
  }
  await handle.close();
  return undefined;
}

async function unpacked(
  path: string,
  { signal }: { signal?: AbortSignal | undefined },
): Promise<BundleSource> {
  // It is compressed: nobody knows how much it is, and memory is not the place to find out. Nothing in it is secret.
  const work = await workDirectory({ bytes: Number.POSITIVE_INFINITY });
  try {
    const { folder } = await openBundle(path, { workDirectory: work.path, signal });
    const source = folderSource(folder);
    return {
      ...source,
      path,
      async [Symbol.asyncDispose]() {
        await source[Symbol.asyncDispose]();
        await work[Symbol.asyncDispose]();
      },
    };
  } catch (error) {
    await work[Symbol.asyncDispose]();
    throw error;
  }
}

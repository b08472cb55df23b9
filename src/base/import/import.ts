import { mkdir, rm, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { type Cache, contentKey } from '../../graph/cache.ts';
import type { Progress } from '../../graph/events.ts';
import { UserError } from '../../host/errors.ts';
import { sha256File } from '../../host/files.ts';
import { openSourceFile, type SourceFile } from '../../host/source-file.ts';
import { MalformedError } from '../../host/tar/bytes.ts';
import { plainText, readTemplateList } from '../../host/template.ts';
import { type Base, type BaseMeta, openBase } from '../base.ts';
import { takeKernel } from '../check/kernel.ts';
import { checkArchitecture } from './architecture.ts';
import { findKernel } from './kernels.ts';
import { openTree } from './sources.ts';
import { writeBase } from './squashfs.ts';

/** A base that somebody else made. */
export interface ImportSource {
  /** A disk image, a tar archive or a squashfs. */
  file: string;
  /** Release of the kernel to take; the newest with its modules unless told otherwise. */
  kernel?: string | undefined;
}

export interface ImportBaseOptions extends ImportSource {
  cache: Cache;
  /** Replay an unclean journal on a private copy of its volume. */
  replayJournal?: boolean | undefined;
  signal?: AbortSignal | undefined;
  progress?: (progress: Progress) => void;
  note?: (text: string) => void;
  warn?: (text: string) => void;
}

/** Raised when the same file would become another base. */
const version = '1';
const cacheKind = 'base';

function keyOf(digest: string, kernel: string | undefined, modules: readonly string[]): string {
  return contentKey('import', version, digest, kernel ?? '', modules.join('\n'));
}

/** The imported base if the same file was imported before: one pass over the file, to hash it. */
export async function cachedImport(options: ImportBaseOptions): Promise<Base | undefined> {
  await using source = await openImage(options);
  const key = keyOf(
    await digestOf(source, options),
    options.kernel,
    await readTemplateList('base/modules.txt'),
  );
  const folder = await options.cache.lookup(cacheKind, key);
  return folder === undefined ? undefined : openBase(folder);
}

/**
 * Imports the root file system of a disk image or an archive as a base: once, then from the cache. Nothing is mounted, nothing
 * of the image is run, and the file is opened for reading only.
 * @returns the base, and whether the same file was imported before
 * @throws UserError where the file holds no system that can become a base
 */
export async function importBase(options: ImportBaseOptions): Promise<{ base: Base; fromCache: boolean }> {
  const { cache, file, signal, kernel: wanted } = options;
  await using source = await openImage(options);
  const digest = await digestOf(source, options);
  const list = await readTemplateList('base/modules.txt');
  let fromCache = true;
  const folder = await cache.entry(cacheKind, keyOf(digest, wanted, list), async (entry) => {
    fromCache = false;
    try {
      await fill(entry, source, digest, list, options);
    } catch (error) {
      // A RangeError is a read outside of a block: all offsets come from the image.
      if (!(error instanceof MalformedError || error instanceof RangeError)) throw error;
      throw new UserError(`cannot import ${file}: ${plainText(error.message)}`, {
        hint: 'the image is damaged or unusual: copy it again, check it with qemu-img check and e2fsck -fn, or pack its root file system as a tar archive',
        cause: error,
      });
    }
  });
  signal?.throwIfAborted();
  return { base: await openBase(folder), fromCache };
}

async function fill(
  entry: string,
  source: SourceFile,
  digest: string,
  list: readonly string[],
  options: ImportBaseOptions,
): Promise<void> {
  const { file, signal, kernel: wanted } = options;
  const warn = options.warn ?? (() => {});
  const note = options.note ?? (() => {});
  const progress = options.progress ?? (() => {});
  await using stack = new AsyncDisposableStack();
  const tree = await openTree(source, {
    replayJournal: options.replayJournal ?? false,
    folder: entry,
    ...{ stack, warn, note, progress, signal },
  });
  await checkArchitecture(tree, file);
  const kernel = await findKernel(tree, { image: file, wanted, list });
  note(`its kernel is ${kernel.release}`);
  const work = join(entry, 'work');
  await mkdir(work, { mode: 0o700 });
  let done = 0;
  const total = tree.bytes;
  const onBytes = (count: number) => {
    done += count;
    progress({ done: Math.min(done, total), total, unit: 'bytes' });
  };
  const target = join(entry, 'base.squashfs');
  await writeBase(tree, kernel, { work, target, warn, onBytes, signal });
  await rm(work, { recursive: true });
  await stack.disposeAsync();
  progress('taking the kernel');
  const kernelRelease = await takeKernel(entry, signal);
  const { hex: id } = await sha256File(target, { signal });
  const meta: BaseMeta = {
    id,
    kernelRelease,
    origin: `import of ${plainText(basename(file))} (SHA-256 ${digest})`,
    builtAt: new Date().toISOString(),
  };
  await writeFile(join(entry, 'meta.json'), JSON.stringify(meta));
}

function openImage({ file, signal }: ImportBaseOptions): Promise<SourceFile> {
  return openSourceFile(
    file,
    {
      unusable: (why, hint, cause) =>
        new UserError(`cannot import ${file}: ${why}`, { ...(hint === undefined ? {} : { hint }), cause }),
      missing: 'give the path of a disk image, a tar archive or a squashfs',
      folder: 'pack it as a tar archive',
      changed: 'shut down the machine that uses it, then import it again',
    },
    { signal },
  );
}

/** SHA-256 of the file, in hex. */
function digestOf(source: SourceFile, { progress }: ImportBaseOptions): Promise<string> {
  let done = 0;
  return source.digest((count) => {
    done += count;
    progress?.({ done, total: source.size, unit: 'bytes' });
  });
}

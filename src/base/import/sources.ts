import { interruptible } from '../../host/disk/interruptible.ts';
import { UserError } from '../../host/errors.ts';
import { start, toolError } from '../../host/run.ts';
import type { PrivateCopy, SourceFile } from '../../host/source-file.ts';
import { type Bytes, headOf, MalformedError } from '../../host/tar/bytes.ts';
import { decompressed, formatOf } from '../../host/tar/compression.ts';
import { blockSize, isHeader } from '../../host/tar/header.ts';
import { sampledPrograms } from './architecture.ts';
import { ArchiveTree } from './archive-tree.ts';
import { readDiskHeader } from './disk/formats.ts';
import { openByQemu, openRaw } from './disk/open.ts';
import { Ext4Tree } from './ext4/tree.ts';
import { findRoot } from './find-root.ts';
import { replayedCopy } from './journal.ts';
import { isOfKernel } from './kernels.ts';
import type { Tree } from './tree.ts';
import { readVolumes } from './volumes.ts';

export interface OpenTreeOptions {
  /** Replay an unclean journal on a private copy. */
  replayJournal: boolean;
  /** A private folder for large work files. */
  folder: string;
  /** Work files, programs and copies live as long as this. */
  stack: AsyncDisposableStack;
  warn: (text: string) => void;
  note: (text: string) => void;
  progress: (text: string) => void;
  signal?: AbortSignal | undefined;
}

/**
 * Opens the root file system that a file holds. What the file is, is told by its content alone. An archive is read in passes; what is
 * read at any place, or by a program, is copied first: only a pass can be compared with the hash.
 */
export async function openTree(source: SourceFile, options: OpenTreeOptions): Promise<Tree> {
  const disk = await readDiskHeader(source);
  if (disk?.refers !== undefined) {
    throw new UserError(`cannot import ${source.path}: it ${disk.refers}`, {
      hint: `make it one plain file: qemu-img convert -O qcow2 ${source.path} ubuntu_base.qcow2`,
    });
  }
  const copied = async () => {
    options.progress('copying the image');
    return options.stack.use(await source.privateCopy(options.folder));
  };
  if (disk !== undefined) {
    const { disk: blocks } = options.stack.use(await openByQemu(await copied(), disk.format, options.signal));
    return openInstalled(source, blocks, options);
  }
  const head = await headOf(source.read(), blockSize);
  if (head.toString('latin1', 0, 4) === 'hsqs') {
    const image = await copied();
    return openArchive(() => fromSquashfs(image, options), options);
  }
  const format = isHeader(head) ? 'unknown' : formatOf(head);
  if (format === 'unknown' && !isHeader(head)) {
    return openInstalled(source, options.stack.use(openRaw(await copied())).disk, options);
  }
  if (format === 'bzip2' || format === 'zip') {
    throw new UserError(`cannot import ${source.path}: it is compressed with ${format}`, {
      hint: 'unpack it, or compress it with gzip, xz or zstd',
    });
  }
  if (!isHeader(await headOf(plain(source), blockSize))) {
    throw new UserError(`cannot import ${source.path}: what is compressed in it is not a tar archive`, {
      hint: 'a compressed disk image has to be unpacked first',
    });
  }
  return openArchive(() => plain(source), options);
}

async function* plain(source: SourceFile): Bytes {
  yield* (await decompressed(source.read(), { xz: true })).data;
}

async function* fromSquashfs(image: PrivateCopy, { signal }: OpenTreeOptions): Bytes {
  const args = ['/proc/self/fd/0'];
  const child = start(
    'sqfs2tar',
    args,
    { signal },
    { stdin: image.handle.fd as 0, buffer: { stdout: false } },
  );
  const ended = child.then(
    () => undefined,
    (error: unknown) => error,
  );
  let complete = false;
  try {
    yield* child.stdout! as Bytes;
    complete = true;
  } finally {
    if (!complete) child.kill();
    await ended;
  }
  const error = await ended;
  if (error !== undefined)
    throw toolError('sqfs2tar', args, error, { signal, hint: `is ${image.path} damaged?` });
}

/** Small files that an import reads before it writes anything. */
const read = new Set([...sampledPrograms, 'etc/fstab', 'var/lib/dpkg/status']);

async function openArchive(open: () => Bytes, options: OpenTreeOptions): Promise<Tree> {
  options.progress('reading the archive');
  return ArchiveTree.read(open, (path) => read.has(path) || isOfKernel(path));
}

async function openInstalled(
  source: SourceFile,
  disk: Parameters<typeof readVolumes>[0],
  { replayJournal, stack, warn, note, progress, signal }: OpenTreeOptions,
): Promise<Tree> {
  const volumes = await readVolumes(interruptible(disk, signal), warn, signal);
  const { root, mounts } = await findRoot(volumes, source.path, warn);
  const used = [root, ...mounts.values()];
  const separate = [...mounts].map(([path, { title }]) => `, /${path} on ${title}`);
  note(`the root is on ${root.title}${separate.join('')}`);
  for (const volume of used) {
    if (!volume.ext4.superblock.needsRecovery) continue;
    if (!replayJournal) {
      throw new UserError(
        `cannot import ${source.path}: ${volume.title} was not unmounted, its journal holds changes`,
        {
          hint: `start the machine and shut it down properly, or: cvm base import --replay-journal ${source.path}, which replays it on a private copy`,
        },
      );
    }
    progress(`replaying the journal of ${volume.title} on a copy`);
    volume.ext4 = await replayedCopy(volume.blocks, volume.ext4.superblock, { stack, signal });
    if (volume.ext4.superblock.needsRecovery)
      throw new MalformedError(`the journal of ${volume.title} is damaged`);
  }
  return new Ext4Tree(root.ext4, new Map([...mounts].map(([path, { ext4 }]) => [path, ext4])));
}

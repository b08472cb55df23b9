import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Blocks } from '../../../host/disk/blocks.ts';
import type { NbdDisk } from '../../../host/disk/nbd.ts';
import type { DirectoryEntry } from '../../../host/ext4/directory.ts';
import { Ext4 } from '../../../host/ext4/filesystem.ts';
import type { Inode } from '../../../host/ext4/inode.ts';
import type { Run } from '../../../host/ext4/mapping.ts';
import { workDirectory } from '../../../host/temp.ts';
import { serveDrive } from '../../serve.ts';
import { loadInode, loadMetadata } from '../metadata.ts';
import { requireWritable } from '../suitable.ts';
import { commit, commitCapacity, commitReplayed, findJournal, type JournalPlace } from './commit.ts';
import { runDebugfs } from './debugfs-script.ts';
import { replayJournal } from './replay.ts';
import { WorkImage } from './work-image.ts';

/** Name of an empty file beside the image, for debugfs's `write`. */
export const emptyFile = 'empty';

/**
 * Changes the files of a drive, without mounting it, root or FUSE. debugfs changes metadata in a private work image, never on the drive; content is
 * written to free blocks of the drive; {@link DriveEditor.commit} brings the metadata over by the file system's journal. Cut off at
 * any moment, the drive is as the last commit left it.
 */
export class DriveEditor implements AsyncDisposable {
  readonly drive: string;
  readonly #stack: AsyncDisposableStack;
  readonly #disk: NbdDisk;
  readonly #image: WorkImage;
  readonly #folder: string;
  readonly #journal: JournalPlace;
  /** How many changed blocks one {@link commit} takes. */
  readonly capacity: number;
  #ext4: Ext4;
  #unsound = false;

  private constructor(
    drive: string,
    stack: AsyncDisposableStack,
    parts: {
      disk: NbdDisk;
      image: WorkImage;
      folder: string;
      journal: JournalPlace;
      capacity: number;
      ext4: Ext4;
    },
  ) {
    this.drive = drive;
    this.#stack = stack;
    this.#disk = parts.disk;
    this.#image = parts.image;
    this.#folder = parts.folder;
    this.#journal = parts.journal;
    this.capacity = parts.capacity;
    this.#ext4 = parts.ext4;
  }

  /**
   * Takes a drive for writing. A journal that was not replayed is replayed first.
   * @throws UserError where another program has it, or it is none that can be written to
   * @throws MalformedError where it is damaged
   */
  static async open(drive: string, signal?: AbortSignal): Promise<DriveEditor> {
    await using stack = new AsyncDisposableStack();
    const { disk } = stack.use(await serveDrive(drive, { writable: true, direct: true, signal }));
    const { superblock } = await Ext4.open(disk);
    requireWritable(drive, superblock);
    const { inodesCount, freeInodes, inodeSize } = superblock;
    const bytes = Math.max(0, inodesCount - freeInodes) * inodeSize * 3 + 32 * 2 ** 20;
    const { path: folder } = stack.use(await workDirectory({ bytes }));
    await writeFile(join(folder, emptyFile), '');
    const image = stack.use(await WorkImage.create(folder, disk, superblock.blockSize, { signal }));
    let ext4 = await Ext4.open(image.blocks);
    await loadMetadata(image, ext4);
    if (superblock.needsRecovery) {
      const { changes, place } = await replayJournal(image, ext4, signal);
      await commitReplayed(disk, place, changes);
      await image.accept(changes);
      ext4 = await Ext4.open(image.blocks);
      await loadMetadata(image, ext4);
      requireWritable(drive, ext4.superblock);
    }
    const journal = await findJournal(ext4);
    const capacity = await commitCapacity(disk, journal);
    return new DriveEditor(drive, stack.move(), { disk, image, folder, journal, capacity, ext4 });
  }

  get superblock() {
    return this.#ext4.superblock;
  }

  /** What was committed, for reading content. */
  get files(): { ext4: Ext4; blocks: Blocks } {
    return { ext4: this.#ext4, blocks: this.#disk };
  }

  /** An inode, and what debugfs needs of it in the image. */
  async inode(number: number): Promise<Inode> {
    const inode = await this.#ext4.inode(number);
    await loadInode(this.#image, this.#ext4, inode);
    return inode;
  }

  /** Entries of a folder; names are byte strings. */
  async list(folder: Inode): Promise<DirectoryEntry[]> {
    return await this.#ext4.list(folder);
  }

  /** Names of the extended attributes of an inode. */
  async attributeNames(inode: Inode): Promise<string[]> {
    return [...(await this.#ext4.attributes(inode)).keys()];
  }

  /** Where the blocks of a file lie, those that were not written yet as well. */
  async runs(inode: Inode): Promise<Run[]> {
    const runs: Run[] = [];
    for await (const run of this.#ext4.runs(inode, { unwritten: true })) runs.push(run);
    return runs;
  }

  /**
   * Has debugfs change the image.
   * @param commands byte strings; the working directory has the file {@link emptyFile}
   * @throws UserError where one failed; nothing can be committed after that
   */
  async run(commands: readonly string[], signal?: AbortSignal): Promise<void> {
    if (commands.length === 0) return;
    this.#unsound = true;
    await runDebugfs(this.#image.path, this.#folder, commands, signal);
    await this.#image.changes();
    this.#ext4 = await Ext4.open(this.#image.blocks);
    this.#unsound = false;
  }

  /** Writes content of a file: to blocks that nothing on the drive refers to before the next commit. */
  async writeContent(offset: number, data: Buffer): Promise<void> {
    await this.#disk.write(offset, data);
    await this.#image.wroteToDrive(offset, data);
  }

  /** Makes everything since the last commit lasting, as a whole. */
  async commit(): Promise<void> {
    if (this.#unsound) throw new Error('changes that debugfs did not finish cannot be committed');
    const changes = await this.#image.changes();
    await commit(this.#disk, this.#journal, changes);
    await this.#image.accept(changes);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stack[Symbol.asyncDispose]();
  }
}

import { createHash } from 'node:crypto';
import { UserError } from '../../../host/errors.ts';
import { fileType, type Inode } from '../../../host/ext4/inode.ts';
import { readable } from '../../../host/tar/entry.ts';
import type { DriveEditor } from '../write/editor.ts';
import type { SourceEntry } from './source-tree.ts';

/** A folder on the drive: there already, or made by an earlier step. */
export interface Folder {
  /** Undefined until it was made. */
  inode: number | undefined;
  /** For one that is to be made. */
  made?: { parent: Folder; name: string };
}

/** One thing to do on the drive. */
export type Step =
  | { kind: 'make folder'; parent: Folder; entry: SourceEntry; folder: Folder }
  | { kind: 'finish folder'; entry: SourceEntry; folder: Folder }
  | { kind: 'link'; parent: Folder; entry: SourceEntry; replaces: Inode | undefined }
  | {
      kind: 'file';
      parent: Folder;
      entry: SourceEntry;
      replaces: Inode | undefined;
      /** What an earlier run that was cut off left of a large file. */
      partial: Inode | undefined;
    };

/** Everything that is to be done, in order. */
export interface CopyPlan {
  steps: Step[];
  /** Bytes of content to write. */
  bytes: number;
  /** Blocks that the drive must have free, about; folders and block lists included. */
  blocks: number;
  /** Inodes to be made. */
  inodes: number;
  /** Files that are on the drive already, with size and time of change alike. */
  alike: { entry: SourceEntry; inode: Inode }[];
}

/**
 * Name of a file while it is copied in parts. It tells source and state apart, so that only the same copy goes on from it.
 */
export function partialName({ name, stat }: SourceEntry): string {
  const hash = createHash('sha256').update(`${name}/${stat.size}/${stat.mtimeNs}`, 'latin1').digest('hex');
  return `.cvm-part-${hash.slice(0, 24)}`;
}

/**
 * Compares sources with what is on the drive, and lists what is to be done. Nothing is changed.
 * @param into the folder that gets them
 * @throws UserError where a file stands in the place of a folder, or the other way round
 */
export async function planCopy(
  editor: DriveEditor,
  into: Inode,
  sources: readonly SourceEntry[],
): Promise<CopyPlan> {
  const { blockSize } = editor.superblock;
  const plan: CopyPlan = { steps: [], bytes: 0, blocks: 0, inodes: 0, alike: [] };
  await planInto({ inode: into.number }, into, sources);
  return plan;

  async function planInto(
    parent: Folder,
    existing: Inode | undefined,
    entries: readonly SourceEntry[],
  ): Promise<void> {
    const names = new Map<string, number>();
    for (const { name, inode } of existing === undefined ? [] : await editor.list(existing))
      names.set(name, inode);
    const find = async (name: string) => {
      const number = names.get(name);
      return number === undefined ? undefined : await editor.inode(number);
    };
    for (const entry of entries) {
      const found = await find(entry.name);
      if (entry.kind === 'folder') await planFolder(parent, entry, found);
      else if (found?.type === fileType.directory) throw cannot(entry, 'the drive has a folder of that name');
      else if (entry.kind === 'link') {
        plan.steps.push({ kind: 'link', parent, entry, replaces: found });
        count(entry.target.length < 60 ? 0 : 1);
      } else if (found !== undefined && isAlike(entry, found)) plan.alike.push({ entry, inode: found });
      else {
        const partial = await find(partialName(entry));
        const usable =
          partial?.type === fileType.regular && partial.size % blockSize === 0 ? partial : undefined;
        plan.steps.push({ kind: 'file', parent, entry, replaces: found, partial: usable });
        const size = storedBytes(entry) - (usable?.size ?? 0);
        plan.bytes += Math.max(0, size);
        count(Math.ceil(Math.max(0, size) / blockSize));
      }
    }
  }

  async function planFolder(parent: Folder, entry: SourceEntry, found: Inode | undefined): Promise<void> {
    if (found !== undefined && found.type !== fileType.directory)
      throw cannot(entry, 'the drive has something else than a folder of that name');
    const folder: Folder =
      found === undefined
        ? { inode: undefined, made: { parent, name: entry.name } }
        : { inode: found.number };
    if (found === undefined) {
      plan.steps.push({ kind: 'make folder', parent, entry, folder });
      const names = entry.children.reduce((sum, { name }) => sum + 8 + name.length + 3, 0);
      count(1 + Math.ceil(names / blockSize));
    }
    await planInto(folder, found, entry.children);
    if (found === undefined) plan.steps.push({ kind: 'finish folder', entry, folder });
  }

  function count(blocks: number): void {
    plan.blocks += blocks;
    plan.inodes += 1;
  }
}

/** Bytes of content that a file takes: holes take none. */
export function storedBytes({ stat }: SourceEntry): number {
  return Number(stat.blocks * 512n < stat.size ? stat.blocks * 512n : stat.size);
}

function isAlike({ stat }: SourceEntry, inode: Inode): boolean {
  return (
    inode.type === fileType.regular &&
    BigInt(inode.size) === stat.size &&
    BigInt(inode.mtime) * 1_000_000_000n + BigInt(inode.mtimeNanoseconds) === stat.mtimeNs
  );
}

function cannot({ path }: SourceEntry, cause: string): UserError {
  return new UserError(`cannot copy ${readable(path.toString('latin1'))}: ${cause}`, {
    hint: 'remove it from the drive first, or copy to another folder',
  });
}

import { UserError } from '../../host/errors.ts';
import { fileType, type Inode } from '../../host/ext4/inode.ts';
import { MalformedError } from '../../host/tar/bytes.ts';
import { readable } from '../../host/tar/entry.ts';
import { onDrive } from './malformed.ts';
import { findExisting } from './place.ts';
import { removeFileCommands } from './remove-commands.ts';
import { quoted, unusableWord } from './write/debugfs-script.ts';
import { DriveEditor } from './write/editor.ts';

export interface RemoveOptions {
  recursive: boolean;
  signal?: AbortSignal | undefined;
}

/** A name to remove. */
interface Doomed {
  folder: number;
  name: string;
  inode: Inode;
}

/**
 * Removes files and folders of a drive, what lies in a folder before the folder itself. Cut off, some are removed and the
 * others whole.
 * @returns how many names were removed
 * @throws UserError
 */
export async function removeFromDrive(
  drive: string,
  paths: readonly string[],
  { recursive, signal }: RemoveOptions,
): Promise<number> {
  return await onDrive('write to', drive, async () => {
    await using editor = await DriveEditor.open(drive, signal);
    const doomed: Doomed[] = [];
    for (const path of paths) {
      const { parent, name, inode } = await findExisting(drive, editor, path);
      const cannot = (cause: string, hint: string) =>
        new UserError(`cannot remove ${readable(path)} from drive ${drive}: ${cause}`, { hint });
      if (parent === undefined) throw cannot('it is the root of the drive', 'name what lies in it');
      if (inode.type === fileType.directory && !recursive)
        throw cannot('it is a folder', 'remove folders with -r');
      await collect(editor, { folder: parent.number, name, inode }, doomed, new Set(), signal);
    }
    await removeAll(editor, doomed, signal);
    return doomed.length;
  });
}

async function collect(
  editor: DriveEditor,
  one: Doomed,
  doomed: Doomed[],
  seen: Set<number>,
  signal: AbortSignal | undefined,
): Promise<void> {
  signal?.throwIfAborted();
  const unusable = unusableWord(one.name);
  if (unusable !== undefined) {
    throw new UserError(
      `cannot remove ${readable(one.name)} from drive ${editor.drive}: its name ${unusable}`,
      {
        hint: 'cvm drive mount --write lets other programs remove it',
      },
    );
  }
  if (one.inode.type === fileType.directory) {
    if (seen.has(one.inode.number))
      throw new MalformedError(`the folder ${readable(one.name)} is in two places`);
    seen.add(one.inode.number);
    for (const { name, inode } of await editor.list(one.inode))
      await collect(
        editor,
        { folder: one.inode.number, name, inode: await editor.inode(inode) },
        doomed,
        seen,
        signal,
      );
  }
  doomed.push(one);
}

async function removeAll(editor: DriveEditor, doomed: readonly Doomed[], signal: AbortSignal | undefined) {
  const { blockSize, blocksPerGroup } = editor.superblock;
  const bytesPerGroup = blockSize * blocksPerGroup;
  let commands: string[] = [];
  let room = editor.capacity;
  let at: number | undefined;
  const finish = async () => {
    signal?.throwIfAborted();
    await editor.run(commands, signal);
    await editor.commit();
    commands = [];
    room = editor.capacity;
    at = undefined;
  };
  for (const { folder, name, inode } of doomed) {
    // Its inode and folder, and for each group of blocks that it may lie in the bitmap; descriptors and block lists.
    const blocks = 6 + 2 * Math.ceil(inode.size / bytesPerGroup);
    if (commands.length > 0 && (blocks > room || commands.length >= 4000)) await finish();
    room -= blocks;
    if (at !== folder) commands.push(`cd <${folder}>`);
    at = folder;
    if (inode.type === fileType.directory) commands.push(`rmdir ${quoted(name)}`);
    else commands.push(...(await removeFileCommands(editor, inode, name)));
  }
  await finish();
}

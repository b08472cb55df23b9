import type { Inode } from '../../host/ext4/inode.ts';
import { MalformedError } from '../../host/tar/bytes.ts';
import { quoted, unusableWord } from './write/debugfs-script.ts';
import type { DriveEditor } from './write/editor.ts';

/**
 * Commands that remove a name of a file, link or device from the working directory, and the inode with its last name.
 * @param name a byte string without control characters
 */
export async function removeFileCommands(editor: DriveEditor, inode: Inode, name: string): Promise<string[]> {
  const commands: string[] = [];
  if (inode.links <= 1 && inode.attributesBlock !== 0) {
    // debugfs would leave a block of attributes in use.
    for (const attribute of await editor.attributeNames(inode)) {
      if (unusableWord(attribute) !== undefined)
        throw new MalformedError(`the extended attributes of inode ${inode.number} are damaged`);
      commands.push(`ea_rm <${inode.number}> ${quoted(attribute)}`);
    }
  }
  return [...commands, `rm ${quoted(name)}`];
}

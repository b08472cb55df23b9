import { mkdir, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { exitStatus, UserError } from '../../host/errors.ts';
import { fileType } from '../../host/ext4/inode.ts';
import { workDirectory } from '../../host/temp.ts';
import { copyIn } from './copy/in.ts';
import { planCopy } from './copy/plan.ts';
import { readSource } from './copy/source-tree.ts';
import { onDrive } from './malformed.ts';
import { rootInode } from './place.ts';
import { DriveEditor } from './write/editor.ts';

/** The file at the root of `user_data` that names a share, and the folder that the VM mounts the share on. */
export const shareFile = 'ext_mount.conf';
const shareFolder = 'mnt';

/** As in templates/site/share-conf, which reads the file in the VM. */
const form = /^(?:[A-Za-z0-9][A-Za-z0-9.-]*|\[[0-9A-Fa-f:]+\]):\/[A-Za-z0-9._/@+=-]*$/;
const longest = 1024;

/**
 * Checks the name of an NFS share as the VM will: `server:/export`, server a name, an IPv4 address, or an IPv6 address in brackets.
 * @throws UserError where the VM would not take it
 */
export function requireShare(share: string): void {
  const why = !form.test(share)
    ? 'it is not server:/export; the VM takes letters, digits and . _ / @ + = - in the path'
    : share.length > longest
      ? `it is longer than ${longest} characters`
      : /\/\.\.(?:\/|$)/.test(share)
        ? 'its path goes up by ".."'
        : undefined;
  if (why === undefined) return;
  throw new UserError(`cannot use the share ${JSON.stringify(share)}: ${why}`, {
    hint: 'for example nfs-server.example.com:/training_data or [2001:db8::7]:/srv/data',
    status: exitStatus.usage,
  });
}

/**
 * Has the VM mount an NFS share at /user_data/mnt: writes the file that names it to a `user_data` drive, and makes the folder
 * for it where it is missing.
 * @throws UserError
 */
export async function setShare(drive: string, share: string, signal?: AbortSignal): Promise<void> {
  requireShare(share);
  await onDrive('write to', drive, async () => {
    await using work = await workDirectory({ bytes: 0 });
    const file = join(work.path, shareFile);
    await writeFile(file, `${share}\n`, { mode: 0o644 });
    const folder = join(work.path, shareFolder);
    await mkdir(folder, { mode: 0o755 });
    await using editor = await DriveEditor.open(drive, signal);
    const root = await editor.inode(rootInode);
    const there = (await editor.list(root)).find(({ name }) => name === shareFolder);
    if (there !== undefined && (await editor.inode(there.inode)).type !== fileType.directory)
      throw new UserError(`cannot set the share of drive ${drive}: /${shareFolder} is no folder`, {
        hint: `cvm drive rm ${drive}:/${shareFolder}`,
      });
    const sources = there === undefined ? [file, folder] : [file];
    const entries = [];
    for (const path of sources) {
      // Never alike: a file of the same size and time would be taken for the same.
      await utimes(path, new Date(), new Date());
      const entry = await readSource(Buffer.from(path), path.split('/').at(-1)!, {
        recursive: true,
        warn: () => {},
        signal,
      });
      if (entry !== undefined) entries.push(entry);
    }
    const plan = await planCopy(editor, root, entries);
    await copyIn(editor, plan, { owner: { uid: 0, gid: 0 }, onBytes: () => {}, signal });
  });
}

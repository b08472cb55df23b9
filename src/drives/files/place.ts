import { UserError } from '../../host/errors.ts';
import type { DirectoryEntry } from '../../host/ext4/directory.ts';
import { fileType, type Inode } from '../../host/ext4/inode.ts';
import { readable } from '../../host/tar/entry.ts';

/** What finding a path needs of a file system. */
export interface Lookup {
  inode(number: number): Promise<Inode>;
  list(folder: Inode): Promise<DirectoryEntry[]>;
}

export const rootInode = 2;

/** Names of a path on a drive, as byte strings. @throws UserError for `..` */
export function partsOf(path: string): string[] {
  const parts = Buffer.from(path, 'utf8')
    .toString('latin1')
    .split('/')
    .filter((part) => part !== '' && part !== '.');
  if (parts.includes('..')) throw new UserError(`cannot use the path ${readable(path)}: it goes up by ".."`);
  return parts;
}

/** A place on a drive: a folder that is there, and a name in it. */
export interface Place {
  /** Undefined for the root of the drive. */
  parent: Inode | undefined;
  /** A byte string; empty for the root. */
  name: string;
  /** Undefined where nothing has the name. */
  inode: Inode | undefined;
}

/**
 * Finds a path; links on the drive are never followed.
 * @throws UserError where a folder on the way is missing, or is none
 */
export async function findPlace(drive: string, files: Lookup, path: string): Promise<Place> {
  let place: Place = { parent: undefined, name: '', inode: await files.inode(rootInode) };
  const done: string[] = [];
  for (const name of partsOf(path)) {
    const folder = place.inode;
    const shown = readable(`/${done.join('/')}`);
    if (folder === undefined)
      throw new UserError(`cannot find ${readable(path)} on drive ${drive}: there is no folder ${shown}`);
    if (folder.type !== fileType.directory) {
      const cause = folder.type === fileType.symlink ? 'a link, which is not followed' : 'no folder';
      throw new UserError(`cannot find ${readable(path)} on drive ${drive}: ${shown} is ${cause}`);
    }
    const entry = (await files.list(folder)).find((each) => each.name === name);
    place = { parent: folder, name, inode: entry && (await files.inode(entry.inode)) };
    done.push(name);
  }
  return place;
}

/** The same where there must be something. @throws UserError where there is nothing */
export async function findExisting(
  drive: string,
  files: Lookup,
  path: string,
): Promise<Place & { inode: Inode }> {
  const { inode, ...place } = await findPlace(drive, files, path);
  if (inode !== undefined) return { ...place, inode };
  throw new UserError(`cannot find ${readable(path)} on drive ${drive}: there is nothing of that name`, {
    hint: `cvm drive ls ${drive}:/ shows what is there`,
  });
}

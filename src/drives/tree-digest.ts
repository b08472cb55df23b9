import { createHash } from 'node:crypto';
import { lstat } from 'node:fs/promises';
import { sha256File } from '../host/files.ts';
import { compareBytes, fileLine, folderLine } from './sealed-list.ts';
import { walkTree } from './walk-tree.ts';

export interface TreeDigestOptions {
  /** Files that were staged apart, with their paths below /user_config. */
  privateFiles?: readonly { path: string; file: string }[];
  signal?: AbortSignal | undefined;
}

/**
 * SHA-256, in hex, of `user_config` folders: name, permission bits and content of all that is in them, and nothing else. The same
 * for a kit and for what `readStartupKit` staged of it.
 * @param folders on this machine, by name below /user_config
 * @throws UserError for what cannot be in a kit
 */
export async function treeDigest(
  folders: Readonly<Record<string, string>>,
  { privateFiles = [], signal }: TreeDigestOptions = {},
): Promise<string> {
  const lines: string[] = [];
  const addFile = async (path: string, file: string, mode: number) =>
    lines.push(fileLine(path, mode & 0o777, (await sha256File(file, { signal })).hex));
  for (const [name, folder] of Object.entries(folders)) {
    for await (const { kind, path, source, mode } of walkTree(folder, name)) {
      if (kind === 'folder') lines.push(folderLine(path, mode & 0o777));
      else await addFile(path, source, mode);
    }
  }
  for (const { path, file } of privateFiles) await addFile(path, file, (await lstat(file)).mode);
  const hash = createHash('sha256');
  for (const line of lines.sort(compareBytes)) hash.update(`${line}\n`);
  return hash.digest('hex');
}

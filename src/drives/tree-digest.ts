import { sha256File } from '../host/files.ts';
import { digestOfLines, fileLine, folderLine } from './sealed-list.ts';
import { walkTree } from './walk-tree.ts';

/**
 * SHA-256, in hex, of `user_config` folders: name, permission bits and content of all that is in them, and nothing else. The same as
 * `readStartupKit` gives for what it staged of them.
 * @param folders on this machine, by name below /user_config
 * @throws UserError for what cannot be in a kit
 */
export async function treeDigest(
  folders: Readonly<Record<string, string>>,
  { signal }: { signal?: AbortSignal | undefined } = {},
): Promise<string> {
  const lines: string[] = [];
  for (const [name, folder] of Object.entries(folders)) {
    for await (const { kind, path, source, mode } of walkTree(folder, name)) {
      lines.push(
        kind === 'folder'
          ? folderLine(path, mode & 0o777)
          : fileLine(path, mode & 0o777, (await sha256File(source, { signal })).hex),
      );
    }
  }
  return digestOfLines(lines);
}

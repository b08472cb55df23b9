import { realpath } from 'node:fs/promises';
import { treeDigest } from '../../drives/index.ts';
import { hasCode } from '../../host/errors.ts';

/** {@link treeDigest} of folders as a configuration names them, perhaps by links; undefined where one has gone. */
export async function kitDigest(
  folders: Readonly<Record<string, string>>,
  signal: AbortSignal,
): Promise<string | undefined> {
  try {
    const found: [string, string][] = [];
    for (const [name, folder] of Object.entries(folders)) found.push([name, await realpath(folder)]);
    return await treeDigest(Object.fromEntries(found), { signal });
  } catch (error) {
    if (hasCode(error, 'ENOENT') || hasCode(error, 'ENOTDIR')) return undefined;
    throw error;
  }
}

import { createHash } from 'node:crypto';
import { constants } from 'node:fs';
import { chmod, mkdir, open, rename } from 'node:fs/promises';
import { dirname } from 'node:path';
import { hasCode, messageOf, UserError } from '../host/errors.ts';
import type { PrivateKeyScanner } from './private-keys.ts';
import type { TreeEntry } from './walk-tree.ts';

/**
 * Copies one file into the staging folder (mode 0600) and looks at it on the way.
 * @param scanner what looks for private keys in it, where that matters
 * @returns SHA-256 of the copied bytes in lower-case hex
 * @throws UserError where it cannot be read, became something else or changes meanwhile, or where there is no room for the copy
 */
export async function stageFile(
  entry: TreeEntry,
  target: string,
  { scanner, signal }: { scanner?: PrivateKeyScanner | undefined; signal?: AbortSignal | undefined },
): Promise<string> {
  const cannot = (cause: string) => new UserError(`cannot read ${entry.source} for user_config: ${cause}`);
  // O_NOFOLLOW and O_NONBLOCK: what was a file a moment ago may be a link or a pipe by now.
  const flags = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;
  await using source = await open(entry.source, flags).catch((error: unknown) => {
    throw cannot(messageOf(error));
  });
  if (!(await source.stat()).isFile()) throw cannot('it is no longer a regular file');
  await using copy = await open(target, 'wx', 0o600);
  const hash = createHash('sha256');
  let size = 0;
  for await (const chunk of source.createReadStream({ autoClose: false }) as AsyncIterable<Buffer>) {
    signal?.throwIfAborted();
    size += chunk.length;
    if (size > entry.size) break;
    hash.update(chunk);
    scanner?.push(chunk);
    await copy.writeFile(chunk).catch((error: unknown) => {
      throw hasCode(error, 'ENOSPC') ? noRoom(entry, target) : error;
    });
  }
  if (size !== entry.size) throw cannot('it changed while it was read');
  return hash.digest('hex');
}

function noRoom({ source }: TreeEntry, target: string): UserError {
  return new UserError(`cannot copy ${source} of user_config: there is no room left in ${dirname(target)}`, {
    hint: 'set TMPDIR to a folder of this machine with room for twice the kit',
  });
}

/** Moves a staged file to the other tree and gives it its mode; folders on the way are made. */
export async function moveStaged(staged: string, target: string, mode: number): Promise<void> {
  await mkdir(dirname(target), { recursive: true, mode: 0o700 });
  await rename(staged, target);
  await chmod(target, mode);
}

import { createHash } from 'node:crypto';
import { constants } from 'node:fs';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { hasCode, messageOf, UserError } from '../../host/errors.ts';
import { changingFiles, hashedFiles } from '../names.ts';
import type { Check, Finding } from './finding.ts';

/** A file of a bundle as it was found. */
export type ExaminedFile =
  | { state: 'missing' | 'not regular' }
  | {
      state: 'read';
      /** Lower-case hex. */
      sha256: string;
      /** Bytes in the file. */
      size: number;
      /** Its first bytes: as many as {@link kept} says. */
      start: Buffer;
    };

/** How much of a file is kept, bytes: enough to parse firmware and script. */
const kept: Readonly<Record<string, number>> = {
  'OVMF.amdsev.fd': 2 ** 24 + 1,
  'launch_vm.sh': 2 ** 20,
};

/** O_NONBLOCK: a FIFO is refused and not waited for. */
const readOnly = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;

/**
 * Reads every file of a bundle folder once: its SHA-256, its size, and the start of those that are looked into.
 * Symbolic links are not followed.
 * @throws UserError where a file cannot be read.
 */
export async function examineFiles(
  folder: string,
  signal: AbortSignal | undefined,
): Promise<Map<string, ExaminedFile>> {
  const files = new Map<string, ExaminedFile>();
  for (const name of hashedFiles) files.set(name, await examine(join(folder, name), kept[name] ?? 0, signal));
  return files;
}

async function examine(path: string, keep: number, signal: AbortSignal | undefined): Promise<ExaminedFile> {
  try {
    await using file = await open(path, readOnly);
    if (!(await file.stat()).isFile()) return { state: 'not regular' };
    const hash = createHash('sha256');
    const start: Buffer[] = [];
    let size = 0;
    const stream = file.createReadStream({ autoClose: false, highWaterMark: 1 << 20 });
    for await (const chunk of stream as AsyncIterable<Buffer>) {
      signal?.throwIfAborted();
      hash.update(chunk);
      if (size < keep) start.push(chunk.subarray(0, keep - size));
      size += chunk.length;
    }
    return { state: 'read', sha256: hash.digest('hex'), size, start: Buffer.concat(start) };
  } catch (error) {
    signal?.throwIfAborted();
    if (hasCode(error, 'ENOENT')) return { state: 'missing' };
    // What open(2) says of a symbolic link under O_NOFOLLOW, and of a socket.
    if (hasCode(error, 'ELOOP') || hasCode(error, 'ENXIO')) return { state: 'not regular' };
    throw new UserError(`cannot read ${path}: ${messageOf(error)}`, { cause: error });
  }
}

/** True for a file that was read and is byte for byte the one the manifest lists. */
export function isAsListed(file: ExaminedFile | undefined, listed: { sha256: string }): boolean {
  return file?.state === 'read' && file.sha256 === listed.sha256;
}

/**
 * Each file's SHA-256 against the manifest. Drives that a VM or a site writes to are only noted; a changed launch_vm.sh
 * is left to its own check, which says what changed in it.
 */
export const filesCheck: Check = {
  name: 'files',
  run: ({ files, manifest }) =>
    hashedFiles.flatMap((subject): Finding[] => {
      const file = files.get(subject)!;
      const listed = manifest.files[subject];
      if (isAsListed(file, listed)) return [];
      if (file.state !== 'read') {
        const text = file.state === 'missing' ? 'is missing' : 'is not a regular file';
        return [{ subject, severity: 'failure', text }];
      }
      if (changingFiles.has(subject)) {
        return [{ subject, severity: 'note', text: 'has changed since it was built, as it does in use' }];
      }
      if (subject === 'launch_vm.sh') return [];
      const describe = (sha256: string, bytes: number) => `SHA-256 ${sha256}, ${bytes} bytes`;
      const expected = describe(listed.sha256, listed.bytes);
      const found = describe(file.sha256, file.size);
      return [{ subject, severity: 'failure', text: 'is not the file that was built', expected, found }];
    }),
};

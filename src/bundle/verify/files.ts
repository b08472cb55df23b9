import { createHash } from 'node:crypto';
import type { Blocks } from '../../host/disk/blocks.ts';
import { messageOf, UserError } from '../../host/errors.ts';
import { changingFiles, hashedFiles } from '../names.ts';
import { type BundleSource, bytesOf } from '../source/source.ts';
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

/** Told the bytes of a file one after another, as they are read. */
export type Watch = (name: string) => ((bytes: Buffer) => void) | undefined;

/**
 * Reads every file of a bundle once: its SHA-256, its size, and the start of those that are looked into.
 * @throws UserError where a file cannot be read.
 */
export async function examineFiles(
  source: BundleSource,
  { signal, watch }: { signal?: AbortSignal | undefined; watch?: Watch | undefined } = {},
): Promise<Map<string, ExaminedFile>> {
  const files = new Map<string, ExaminedFile>();
  for (const name of hashedFiles) {
    const file = await source.file(name);
    if (typeof file === 'string') {
      files.set(name, { state: file });
      continue;
    }
    try {
      files.set(name, await examine(file, kept[name] ?? 0, watch?.(name), signal));
    } catch (error) {
      signal?.throwIfAborted();
      throw new UserError(`cannot read ${name} of ${source.path}: ${messageOf(error)}`, { cause: error });
    }
  }
  return files;
}

async function examine(
  file: Blocks,
  keep: number,
  seen: ((bytes: Buffer) => void) | undefined,
  signal: AbortSignal | undefined,
): Promise<ExaminedFile> {
  const hash = createHash('sha256');
  const start: Buffer[] = [];
  let size = 0;
  for await (const chunk of bytesOf(file, signal)) {
    hash.update(chunk);
    seen?.(chunk);
    if (size < keep) start.push(chunk.subarray(0, keep - size));
    size += chunk.length;
  }
  return { state: 'read', sha256: hash.digest('hex'), size, start: Buffer.concat(start) };
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

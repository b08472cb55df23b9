import { Header } from 'tar';
import { type Blocks, partOf } from '../../host/disk/blocks.ts';
import { messageOf, UserError } from '../../host/errors.ts';
import { ArchiveNames, cannotOpen } from '../archive-names.ts';

/** Size of a tar block (POSIX.1-2017, pax, "ustar Interchange Format"). */
const block = 512;
/** A bundle has ten files in two folders. */
const mostEntries = 64;

/** Files of a bundle inside of a tar archive, each a part of it. */
export interface ArchivedFiles {
  folderName: string;
  files: Map<string, Blocks>;
}

/** What some programs leave unpacked behind the end of an archive: this builder fills up to 10 KiB, GNU tar likewise. */
const largestFilling = 2 ** 20;

/** Behind the end, other programs than this one may go on reading: there must be nothing. */
async function requireZeros(
  archive: Blocks,
  at: number,
  cannot: (cause: string) => UserError,
): Promise<void> {
  const rest = archive.size - at;
  if (rest > largestFilling || (await archive.read(at, rest)).some((byte) => byte !== 0))
    throw cannot(`it goes on behind its end, at byte ${at}`);
}

/**
 * Finds the files of a bundle in an archive that can be read at any place; their content stays where it is.
 * @param path the archive's name in messages
 * @throws UserError where it is no bundle, or holds anything else
 */
export async function filesInTar(path: string, archive: Blocks): Promise<ArchivedFiles> {
  const cannot = cannotOpen(path);
  const names = new ArchiveNames(path);
  const files = new Map<string, Blocks>();
  try {
    let entries = 0;
    for (let at = 0; at + block <= archive.size; ) {
      const bytes = await archive.read(at, block);
      if (bytes.every((byte) => byte === 0)) {
        await requireZeros(archive, at, cannot);
        break;
      }
      entries += 1;
      if (entries > mostEntries) throw cannot(`it holds more than ${mostEntries} entries`);
      const header = new Header(bytes, 0);
      if (!header.cksumValid) throw cannot(`its header at byte ${at} is damaged`);
      const size = header.size ?? 0;
      const name = names.accept({ path: header.path ?? '', type: String(header.type) });
      if (name !== undefined) files.set(name, partOf(archive, at + block, size));
      at += block + Math.ceil(size / block) * block;
    }
  } catch (error) {
    throw error instanceof UserError ? error : cannot(messageOf(error));
  }
  return { folderName: names.complete(), files };
}

import { randomBytes, randomFillSync, timingSafeEqual } from 'node:crypto';
import { constants } from 'node:fs';
import { type FileHandle, open, readdir, rename, unlink } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { hasCode, messageOf, UserError } from '../../host/errors.ts';
import { Secret } from '../../host/secret.ts';
import { handoffFiles } from '../handoff.ts';

/** Bytes of a disk key: 128 lower-case hex digits. */
export const diskKeyBytes = 128;

/** Files that hold an image's key, or part of it. */
export interface KeyFiles {
  /** Each a whole key. */
  whole: string[];
  /** What a build that was killed while it wrote the key left: all of the key, a part, or nothing. */
  unfinished: string[];
  /** What {@link destroyKeyFile} left where it was killed: nobody needs it, and it may hold the key. */
  doomed: string[];
}

/** Finds every key file of an image in the hand-off folders (`handoff/`, or `handoff/cvm_<id>` itself). */
export async function findKeyFiles(folders: readonly string[], id: string): Promise<KeyFiles> {
  const own = `cvm_${id}`;
  const owned = new Set(folders.map((folder) => (basename(folder) === own ? folder : join(folder, own))));
  const found: KeyFiles = { whole: [], unfinished: [], doomed: [] };
  for (const folder of owned) {
    const file = join(folder, handoffFiles.key);
    const handle = await openIfPresent(file);
    await handle?.close();
    if (handle !== undefined) found.whole.push(file);
    for (const name of await namesIn(folder)) {
      if (unfinishedName.test(name)) found.unfinished.push(join(folder, name));
      if (doomedName.test(name)) found.doomed.push(join(folder, name));
    }
  }
  return found;
}

const hiddenName = (end: string) =>
  new RegExp(`^\\.${handoffFiles.key.replaceAll('.', '\\.')}\\.[0-9a-f]{12}\\.${end}$`);
/** The temporary name under which a key is written; see host/files.ts. */
const unfinishedName = hiddenName('tmp');
/** The name under which a key is overwritten. */
const doomedName = hiddenName('doomed');
const newDoomedName = () => `.${handoffFiles.key}.${randomBytes(6).toString('hex')}.doomed`;

async function namesIn(folder: string): Promise<string[]> {
  try {
    return (await readdir(folder)).sort();
  } catch (error) {
    if (hasCode(error, 'ENOENT') || hasCode(error, 'ENOTDIR')) return [];
    throw new UserError(`cannot look for disk keys in ${folder}: ${messageOf(error)}`, {
      hint: 'it must be a folder of your own, as the build made it',
    });
  }
}

/**
 * Reads a key of which there may be several copies. The caller wipes it.
 * @throws UserError where one holds no disk key, or they differ: nobody can tell which one opens the drive.
 */
export async function readKeyCopies(file: string, copies: readonly string[]): Promise<Secret> {
  const key = await readKeyFile(file);
  try {
    for (const copy of copies) {
      const other = await readKeyFile(copy);
      const same = timingSafeEqual(key.reveal(), other.reveal());
      other.wipe();
      if (same) continue;
      throw new UserError(`cannot push the disk key ${file}: ${copy} holds another key`, {
        hint: 'only one of the two opens the drive: remove the folder that no build of this machine wrote',
      });
    }
    return key;
  } catch (error) {
    key.wipe();
    throw error;
  }
}

/** Reads a key file. The caller wipes it. @throws UserError where it holds no disk key. */
export async function readKeyFile(file: string): Promise<Secret> {
  await using handle = await openIfPresent(file);
  const bytes = Buffer.alloc(diskKeyBytes + 1);
  const { bytesRead } = (await handle?.read(bytes, 0, bytes.length, 0)) ?? { bytesRead: 0 };
  const key = new Secret(bytes.subarray(0, diskKeyBytes));
  if (bytesRead === diskKeyBytes && key.reveal().every(isHexDigit)) return key;
  bytes.fill(0);
  throw new UserError(`cannot read the disk key ${file}: it is not ${diskKeyBytes} lower-case hex digits`, {
    hint: 'a changed key opens no drive: build the image again, and retire this one',
  });
}

/**
 * Overwrites a key file on its medium and removes it. It is renamed first: where this is stopped between the two, nothing lies under
 * the key's own name that is none. Journals, snapshots and flash translation can keep older copies; only an
 * encrypted or in-memory file system helps against those.
 */
export async function destroyKeyFile(file: string): Promise<void> {
  const folder = dirname(file);
  try {
    await using handle = await open(file, constants.O_RDWR | constants.O_NOFOLLOW | constants.O_NONBLOCK);
    const found = await handle.stat();
    if (!found.isFile()) throw new Error('it is not a file');
    const doomed = doomedName.test(basename(file)) ? file : join(folder, newDoomedName());
    await rename(file, doomed);
    await syncFolder(folder);
    const noise = randomFillSync(Buffer.alloc(Math.min(found.size, 4096)));
    for (let at = 0; at < found.size; at += noise.length) await handle.write(noise, 0, noise.length, at);
    await handle.sync();
    await unlink(doomed);
    await syncFolder(folder);
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return;
    throw new UserError(`cannot remove the disk key ${file}: ${messageOf(error)}`, {
      hint: 'the KBS holds the key: remove the file by hand, with shred -u',
    });
  }
}

/** Destroys what is left of an image's keys in the hand-off folders, and gives the paths. */
export async function destroyKeyFiles(folders: readonly string[], id: string): Promise<string[]> {
  const { whole, unfinished, doomed } = await findKeyFiles(folders, id);
  const files = [...whole, ...unfinished, ...doomed];
  for (const file of files) await destroyKeyFile(file);
  return files;
}

async function syncFolder(folder: string): Promise<void> {
  await using handle = await open(folder, 'r');
  await handle.sync();
}

const isHexDigit = (byte: number) => (byte >= 0x30 && byte <= 0x39) || (byte >= 0x61 && byte <= 0x66);

/** Opens a file, never through a link in its last part, never waiting on a FIFO. */
async function openIfPresent(file: string): Promise<FileHandle | undefined> {
  try {
    return await open(file, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  } catch (error) {
    if (hasCode(error, 'ENOENT') || hasCode(error, 'ENOTDIR')) return undefined;
    throw new UserError(`cannot read the disk key ${file}: ${messageOf(error)}`, {
      hint: 'it must be a plain file of your own, as the build wrote it',
    });
  }
}

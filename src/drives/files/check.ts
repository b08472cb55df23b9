import { UserError } from '../../host/errors.ts';
import { Ext4 } from '../../host/ext4/filesystem.ts';
import { start, toolError } from '../../host/run.ts';
import { MalformedError } from '../../host/tar/bytes.ts';
import { workDirectory } from '../../host/temp.ts';
import { serveDrive } from '../serve.ts';
import { loadInode, loadMetadata } from './metadata.ts';
import { requireOwnJournal } from './suitable.ts';
import { commit, commitReplayed, findJournal } from './write/commit.ts';
import { replayJournal } from './write/replay.ts';
import { WorkImage } from './write/work-image.ts';

/** What a check found. */
export interface CheckResult {
  /** Nothing is wrong, or nothing any more. */
  sound: boolean;
  /** The journal held changes: a VM was stopped at once, or is running. */
  replayed: boolean;
  /** Something was repaired. */
  repaired: boolean;
  /** What e2fsck said, a line each; it names files of the drive. */
  lines: string[];
}

export interface CheckOptions {
  /** Replay the journal and repair what e2fsck takes for safe to repair. */
  repair: boolean;
  signal?: AbortSignal | undefined;
}

/**
 * Has e2fsck check the file system of a drive, on a private image of its metadata. Repairs go to the drive through its journal,
 * all or none; what could move content is never repaired here.
 * @throws UserError where there is no file system to check
 */
export async function checkDrive(drive: string, { repair, signal }: CheckOptions): Promise<CheckResult> {
  await using stack = new AsyncDisposableStack();
  const { disk } = stack.use(await serveDrive(drive, { writable: repair, signal }));
  try {
    const { superblock } = await Ext4.open(disk);
    requireOwnJournal(superblock);
    const { inodesCount, freeInodes, inodeSize, needsRecovery } = superblock;
    const bytes = Math.max(0, inodesCount - freeInodes) * inodeSize * 4 + 64 * 2 ** 20;
    const { path } = stack.use(await workDirectory({ bytes }));
    const image = stack.use(await WorkImage.create(path, disk, superblock.blockSize, { signal }));
    let ext4 = await Ext4.open(image.blocks);
    await loadMetadata(image, ext4);
    if (needsRecovery) {
      const { changes, place } = await replayJournal(image, ext4, signal);
      if (repair) {
        await commitReplayed(disk, place, changes);
        await image.accept(changes);
      }
      ext4 = await Ext4.open(image.blocks);
      await loadMetadata(image, ext4);
    }
    await loadEverything(image, ext4, signal);
    const hasJournal = ext4.superblock.journalInode !== 0;
    if (hasJournal) await image.load((await findJournal(ext4)).runs[0]!.physical, 1);
    const { status, lines } = await fsck(image.path, repair ? '-p' : '-n', signal);
    const sound = status === 0 || (repair && status === 1);
    const repaired = repair && sound && status === 1;
    if (repaired) await commit(disk, await findJournal(ext4), await image.changes());
    return { sound, replayed: needsRecovery, repaired, lines };
  } catch (error) {
    if (!(error instanceof MalformedError)) throw error;
    throw new UserError(`cannot check drive ${drive}: ${error.message}`, { cause: error });
  }
}

/** Loads what belongs to every inode in use. What is damaged is for e2fsck to find. */
async function loadEverything(image: WorkImage, ext4: Ext4, signal: AbortSignal | undefined): Promise<void> {
  const { inodesCount, inodesPerGroup } = ext4.superblock;
  for (let start = 0; start < inodesCount; start += inodesPerGroup) {
    signal?.throwIfAborted();
    const group = await ext4.group(start / inodesPerGroup);
    if (group.inodesUninitialised) continue;
    const used = Math.min(inodesPerGroup, inodesCount - start) - group.unusedInodes;
    for (let number = start + 1; number <= start + used; number++) {
      try {
        const inode = await ext4.inode(number);
        if (inode.links > 0) await loadInode(image, ext4, inode);
      } catch (error) {
        if (!(error instanceof MalformedError)) throw error;
      }
    }
  }
}

/** Longest check of a hostile drive, in milliseconds, and most that e2fsck may say: of a block list without end it says something of each block. */
const limits = { timeout: 3_600_000, maxBuffer: 2 ** 20 };
/** Of the bits of e2fsck's status (e2fsck(8)). */
const errorsLeft = 4;
const mostLines = 1000;

async function fsck(
  image: string,
  mode: '-n' | '-p',
  signal: AbortSignal | undefined,
): Promise<{ status: number; lines: string[] }> {
  const args = ['-f', mode, image];
  const result = await start('e2fsck', args, { signal }, { ...limits, reject: false });
  if (result.isMaxBuffer) result.exitCode = errorsLeft;
  // Up to 4, the status tells what was found; above, what went wrong (e2fsck(8)).
  if (result.exitCode === undefined || result.exitCode >= 8)
    throw toolError('e2fsck', args, result, { signal });
  const lines = `${result.stdout}\n${result.stderr}`
    .split('\n')
    .filter((line) => line !== '' && !/^e2fsck \d/.test(line))
    .map((line) => line.replaceAll(image, 'the drive'));
  const rest = lines.length > mostLines ? ['and so on'] : [];
  return { status: result.exitCode, lines: [...lines.slice(0, mostLines), ...rest] };
}

import type { Ext4 } from '../../../host/ext4/filesystem.ts';
import { start, toolError } from '../../../host/run.ts';
import { findJournal, type JournalPlace } from './commit.ts';
import type { Change, WorkImage } from './work-image.ts';

/**
 * Replays the journal of a drive in its work image, with e2fsck, and tells what that changes.
 * @param ext4 on the image, whose metadata is loaded
 */
export async function replayJournal(
  image: WorkImage,
  ext4: Ext4,
  signal?: AbortSignal,
): Promise<{ changes: Change[]; place: JournalPlace }> {
  const place = await findJournal(ext4);
  for (const { physical, count } of place.runs) await image.load(physical, count);
  const args = ['-y', '-E', 'journal_only', image.path];
  try {
    await start('e2fsck', args, { signal });
  } catch (error) {
    // 1: the file system was changed, as it was to be (e2fsck(8)).
    if ((error as { exitCode?: number }).exitCode !== 1) throw toolError('e2fsck', args, error, { signal });
  }
  return { changes: await image.changes(), place };
}

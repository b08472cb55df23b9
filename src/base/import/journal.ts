import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { type Blocks, fileBlocks } from '../../host/disk/blocks.ts';
import { Ext4 } from '../../host/ext4/filesystem.ts';
import { start, toolError } from '../../host/run.ts';
import { workDirectory } from '../../host/temp.ts';

const chunk = 4 * 1024 * 1024;

/**
 * Copies a volume to a private file, without its zeros, and replays its journal there with e2fsck.
 * @throws UserError where e2fsck cannot replay it
 */
export async function replayedCopy(
  volume: Blocks,
  {
    usedBytes,
    stack,
    signal,
  }: { usedBytes: number; stack: AsyncDisposableStack; signal?: AbortSignal | undefined },
): Promise<Ext4> {
  const work = stack.use(await workDirectory({ bytes: usedBytes }));
  const path = join(work.path, 'volume');
  {
    await using copy = await open(path, 'wx', 0o600);
    await copy.truncate(volume.size);
    const zeros = Buffer.alloc(chunk);
    for (let at = 0; at < volume.size; at += chunk) {
      signal?.throwIfAborted();
      const piece = await volume.read(at, Math.min(chunk, volume.size - at));
      if (!piece.equals(zeros.subarray(0, piece.length))) await copy.write(piece, 0, piece.length, at);
    }
  }
  const args = ['-y', '-E', 'journal_only', path];
  try {
    await start('e2fsck', args, { signal });
  } catch (error) {
    // 1: the file system was changed, as it was to be (e2fsck(8)).
    if ((error as { exitCode?: number }).exitCode !== 1) {
      throw toolError('e2fsck', args, error, {
        signal,
        hint: 'start the machine once more and shut it down properly',
      });
    }
  }
  const file = stack.use(await open(path, 'r'));
  return await Ext4.open(fileBlocks(file, volume.size));
}

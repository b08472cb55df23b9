import type { AttributeOptions } from '../attributes.ts';
import type { DriveEditor } from '../write/editor.ts';
import { Batch } from './batch.ts';
import type { CopyPlan } from './plan.ts';
import { dataRanges, type Range } from './source-content.ts';
import type { SourceEntry } from './source-tree.ts';

export interface CopyInOptions extends AttributeOptions {
  /** Told of bytes that are on the drive. */
  onBytes: (count: number) => void;
  signal?: AbortSignal | undefined;
}

/** Content that one commit makes lasting at most: what is lost where the copy is cut off. */
const bytesPerCommit = 512 * 2 ** 20;
/** Blocks of metadata that a step changes at most, about: its inode, its folder, bitmaps, block lists. */
const blocksPerStep = 6;

/**
 * Carries out a plan, commit by commit. Cut off, the drive has whole files, and a large one in part under a name of its own; the same
 * plan made again goes on from there.
 * @returns the files written, by inode
 */
export async function copyIn(
  editor: DriveEditor,
  plan: CopyPlan,
  options: CopyInOptions,
): Promise<{ entry: SourceEntry; inode: number }[]> {
  const { blockSize } = editor.superblock;
  const stepsPerCommit = Math.max(1, Math.min(2000, Math.floor(editor.capacity / blocksPerStep)));
  const written: { entry: SourceEntry; inode: number }[] = [];
  let batch = new Batch(editor, options);
  const finish = async () => {
    options.signal?.throwIfAborted();
    written.push(...(await batch.commit()));
    batch = new Batch(editor, options);
  };
  for (const step of plan.steps) {
    if (batch.size >= stepsPerCommit || batch.bytes >= bytesPerCommit) await finish();
    if (step.kind !== 'file') {
      batch.add(step);
      continue;
    }
    let left = await dataRanges(step.entry, step.partial?.size ?? 0, blockSize);
    let inode = step.partial?.number;
    for (;;) {
      const { now, later } = cut(left, Math.floor((bytesPerCommit - batch.bytes) / blockSize));
      const piece = batch.addPiece({ step, inode, ranges: now, isLast: later.length === 0 });
      if (later.length === 0) break;
      await finish();
      inode = piece.inode;
      left = later;
    }
  }
  await finish();
  return written;
}

/** The first so many blocks of ranges, and the others. */
export function cut(ranges: readonly Range[], blocks: number): { now: Range[]; later: Range[] } {
  const now: Range[] = [];
  const later: Range[] = [];
  let room = blocks;
  for (const { first, end } of ranges) {
    const middle = Math.min(end, first + room);
    if (first < middle) now.push({ first, end: middle });
    if (middle < end) later.push({ first: middle, end });
    room -= middle - first;
  }
  return { now, later };
}

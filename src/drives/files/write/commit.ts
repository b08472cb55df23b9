import type { NbdDisk } from '../../../host/disk/nbd.ts';
import type { Ext4 } from '../../../host/ext4/filesystem.ts';
import type { Run } from '../../../host/ext4/mapping.ts';
import { markRecovery, superblockOffset, superblockSize } from '../../../host/ext4/superblock.ts';
import { MalformedError } from '../../../host/tar/bytes.ts';
import { journalSuperblock, parseJournal, transactionBlocks, transactionSize } from './journal.ts';
import type { Change } from './work-image.ts';

/** Where the blocks of a journal lie. */
export interface JournalPlace {
  runs: Run[];
  blockSize: number;
  /** In blocks, holes not counted: a journal has none. */
  blocks: number;
}

/** Blocks of the largest journal that mke2fs makes. */
const mostBlocks = 10_240_000;

/** Finds the journal. @throws MalformedError where there is none inside of the file system */
export async function findJournal(ext4: Ext4): Promise<JournalPlace> {
  const { journalInode, blockSize } = ext4.superblock;
  if (journalInode === 0) throw new MalformedError('it has no journal');
  const runs: Run[] = [];
  let blocks = 0;
  for await (const run of ext4.runs(await ext4.inode(journalInode))) {
    if (run.logical !== blocks) throw new MalformedError('its journal is damaged');
    runs.push(run);
    blocks += run.count;
    if (blocks > mostBlocks || runs.length > mostBlocks / 100)
      throw new MalformedError('its journal is damaged');
  }
  if (blocks < 2) throw new MalformedError('its journal is damaged');
  return { runs, blockSize, blocks };
}

/** How many changed blocks one commit can take. */
export async function commitCapacity(disk: NbdDisk, place: JournalPlace): Promise<number> {
  const first = await disk.read(place.runs[0]!.physical * place.blockSize, place.blockSize);
  const { capacity } = parseJournal(first, place.blocks);
  return Math.max(0, Math.floor(capacity * 0.95) - 2);
}

/**
 * Writes changes of metadata to a drive so that, whenever it is cut off, the drive holds all of them or none: first into the
 * file system's own journal, then into their places. What it was cut off in is finished by whoever replays the journal: this
 * program, the kernel, or e2fsck. File content must be on the drive already.
 */
export async function commit(disk: NbdDisk, place: JournalPlace, changes: readonly Change[]): Promise<void> {
  if (changes.length === 0) return;
  const { blockSize } = place;
  const home = place.runs[0]!.physical * blockSize;
  const first = await disk.read(home, blockSize);
  const journal = parseJournal(first, place.blocks);
  const inside = Math.floor(superblockOffset / blockSize) * blockSize;
  const { final, marked } = superblockBlocks(
    changes.find(({ offset }) => offset === inside)?.data ?? (await disk.read(inside, blockSize)),
    inside,
  );
  const logged = [...changes.filter(({ offset }) => offset !== inside), { offset: inside, data: marked }];
  if (transactionSize(logged.length, blockSize) > journal.capacity)
    throw new Error(`the journal cannot take ${logged.length} blocks at once`);

  // The mark first, as the kernel does: a journal that holds changes without it is damage to e2fsck. Still there are none.
  await disk.write(inside, markedAsItIs(await disk.read(inside, blockSize), inside));
  await writeJournal(disk, place, journal.firstBlock, transactionBlocks(logged, journal, blockSize));
  // The content of files and the transaction are on the drive before the journal's superblock makes them count.
  await disk.flush();
  await disk.write(home, journalSuperblock(first, journal, 'open'));
  await disk.flush();
  await writeInPlace(disk, logged);
  await disk.flush();
  await disk.write(home, journalSuperblock(first, journal, 'done'));
  await disk.flush();
  await disk.write(inside, final);
  await disk.flush();
}

/** Writes what a journal held to its places: again and again with the same result, and the superblock last. */
export async function commitReplayed(
  disk: NbdDisk,
  place: JournalPlace,
  changes: readonly Change[],
): Promise<void> {
  const { blockSize } = place;
  const inside = Math.floor(superblockOffset / blockSize) * blockSize;
  const home = place.runs[0]!.physical * blockSize;
  const isLast = ({ offset }: Change) => offset === inside || offset === home;
  await writeInPlace(
    disk,
    changes.filter((change) => !isLast(change)),
  );
  await disk.flush();
  for (const offset of [home, inside]) {
    const change = changes.find((each) => each.offset === offset);
    if (change === undefined) continue;
    await disk.write(offset, change.data);
    await disk.flush();
  }
}

function superblockBlocks(block: Buffer, inside: number): { final: Buffer; marked: Buffer } {
  const final = Buffer.from(block);
  const start = superblockOffset - inside;
  markRecovery(final.subarray(start, start + superblockSize), false);
  return { final, marked: markedAsItIs(final, inside) };
}

function markedAsItIs(block: Buffer, inside: number): Buffer {
  const marked = Buffer.from(block);
  const start = superblockOffset - inside;
  markRecovery(marked.subarray(start, start + superblockSize), true);
  return marked;
}

const largestWrite = 1 << 20;

/** Neighbouring blocks go out together. */
async function writeInPlace(disk: NbdDisk, changes: readonly Change[]): Promise<void> {
  const sorted = changes.toSorted((a, b) => a.offset - b.offset);
  for (let from = 0; from < sorted.length; ) {
    const { offset } = sorted[from]!;
    const pieces: Buffer[] = [];
    let end = offset;
    while (from < sorted.length && sorted[from]!.offset === end && end - offset < largestWrite) {
      const { data } = sorted[from++]!;
      pieces.push(data);
      end += data.length;
    }
    await disk.write(offset, Buffer.concat(pieces));
  }
}

/** @param block first block of the journal to write */
async function writeJournal(disk: NbdDisk, place: JournalPlace, block: number, bytes: Buffer): Promise<void> {
  const { blockSize } = place;
  for (const { logical, physical, count } of place.runs) {
    const from = Math.max(logical, block);
    const to = Math.min(logical + count, block + bytes.length / blockSize);
    if (from >= to) continue;
    const data = bytes.subarray((from - block) * blockSize, (to - block) * blockSize);
    await disk.write((physical + from - logical) * blockSize, data);
  }
}

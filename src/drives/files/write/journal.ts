import { MalformedError } from '../../../host/tar/bytes.ts';
import type { Change } from './work-image.ts';

/*
 * The journal of ext4: the kernel's Documentation/filesystems/ext4/journal.rst. Numbers are big-endian. What is written here has no
 * optional features, neither checksums nor 64-bit places: every kernel and every e2fsck replays it.
 */

const magic = 0xc03b_3998;
const blockType = { descriptor: 1, commit: 2, superblock: 4 } as const;
const tagFlag = { escaped: 1, sameUuid: 2, last: 8 } as const;
const headerBytes = 12;
const tagBytes = 8;

/** Offsets in the journal's superblock, in bytes. */
const at = {
  type: 4,
  blockSize: 12,
  blocks: 16,
  firstBlock: 20,
  sequence: 24,
  start: 28,
  error: 32,
  compatible: 36,
  incompatible: 40,
  readOnlyCompatible: 44,
  checksumType: 80,
  fastCommitBlocks: 84,
  checksum: 252,
} as const;

/** A journal that holds nothing to replay. */
export interface CleanJournal {
  /** Number of the next transaction. */
  sequence: number;
  /** First block that transactions may use. */
  firstBlock: number;
  /** Blocks that a transaction may use. */
  capacity: number;
}

/**
 * Reads the first block of a journal.
 * @throws MalformedError where it is none, or not clean
 */
export function parseJournal(superblock: Buffer, blocksOfInode: number): CleanJournal {
  const field = (offset: number) => superblock.readUInt32BE(offset);
  const first = field(at.firstBlock);
  const end =
    field(at.blocks) - ((field(at.incompatible) & 0x20) === 0 ? 0 : field(at.fastCommitBlocks) || 256);
  const sound =
    field(0) === magic &&
    field(at.type) === blockType.superblock &&
    field(at.blockSize) === superblock.length &&
    first > 0 &&
    first < end &&
    end <= blocksOfInode;
  if (!sound) throw new MalformedError('its journal is damaged');
  if (field(at.start) !== 0 || field(at.error) !== 0)
    throw new MalformedError('its journal holds changes that were not replayed');
  return { sequence: field(at.sequence), firstBlock: first, capacity: end - first };
}

/** The first block of the journal while it holds the transaction that {@link transactionBlocks} makes, or none. */
export function journalSuperblock(old: Buffer, journal: CleanJournal, state: 'open' | 'done'): Buffer {
  const block = Buffer.from(old);
  for (const offset of [at.compatible, at.incompatible, at.readOnlyCompatible, at.checksum])
    block.writeUInt32BE(0, offset);
  block.writeUInt8(0, at.checksumType);
  block.writeUInt32BE(state === 'open' ? journal.sequence : next(journal.sequence), at.sequence);
  block.writeUInt32BE(state === 'open' ? journal.firstBlock : 0, at.start);
  return block;
}

const next = (sequence: number) => (sequence + 1) >>> 0;

/** Blocks of the journal that a transaction of so many changes takes. */
export function transactionSize(changes: number, blockSize: number): number {
  const perDescriptor = Math.floor((blockSize - headerBytes) / tagBytes);
  return changes + Math.ceil(changes / perDescriptor) + 1;
}

/**
 * One transaction, from the first block of the journal that may be used on: descriptors, each followed by the blocks that it names, and
 * the block that commits them.
 * @param changes of whole blocks, below block 2^32
 */
export function transactionBlocks(
  changes: readonly Change[],
  { sequence }: CleanJournal,
  blockSize: number,
): Buffer {
  const perDescriptor = Math.floor((blockSize - headerBytes) / tagBytes);
  const blocks: Buffer[] = [];
  for (let from = 0; from < changes.length; from += perDescriptor) {
    const described = changes.slice(from, from + perDescriptor);
    const descriptor = header(blockType.descriptor, sequence, blockSize);
    blocks.push(descriptor);
    described.forEach(({ offset, data }, index) => {
      const escaped = data.readUInt32BE(0) === magic;
      const last = index === described.length - 1;
      const flags = tagFlag.sameUuid | (escaped ? tagFlag.escaped : 0) | (last ? tagFlag.last : 0);
      const tag = headerBytes + index * tagBytes;
      descriptor.writeUInt32BE(offset / blockSize, tag);
      descriptor.writeUInt16BE(flags, tag + 6);
      const block = Buffer.from(data);
      // A block that begins like one of the journal's own would be taken for one.
      if (escaped) block.writeUInt32BE(0, 0);
      blocks.push(block);
    });
  }
  blocks.push(header(blockType.commit, sequence, blockSize));
  return Buffer.concat(blocks);
}

function header(type: number, sequence: number, blockSize: number): Buffer {
  const block = Buffer.alloc(blockSize);
  block.writeUInt32BE(magic, 0);
  block.writeUInt32BE(type, 4);
  block.writeUInt32BE(sequence, 8);
  return block;
}

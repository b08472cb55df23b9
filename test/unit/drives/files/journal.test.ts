import { describe, expect, it } from 'vitest';
import {
  journalSuperblock,
  parseJournal,
  transactionBlocks,
  transactionSize,
} from '../../../../src/drives/files/write/journal.ts';
import { MalformedError } from '../../../../src/host/tar/bytes.ts';

const blockSize = 1024;
const magic = 0xc03b_3998;

/** A clean journal of 64 blocks whose next transaction is number 7. */
function superblock(change: Record<number, number> = {}): Buffer {
  const block = Buffer.alloc(blockSize);
  const fields = { 0: magic, 4: 4, 12: blockSize, 16: 64, 20: 1, 24: 7, ...change };
  for (const [offset, value] of Object.entries(fields)) block.writeUInt32BE(value, Number(offset));
  return block;
}

describe('the journal of a drive', () => {
  it('is read where it is clean', () => {
    expect(parseJournal(superblock(), 64)).toEqual({ sequence: 7, firstBlock: 1, capacity: 63 });
  });

  it('leaves the blocks of fast commits alone', () => {
    expect(parseJournal(superblock({ 40: 0x20, 84: 10 }), 64).capacity).toBe(53);
  });

  it.each([
    ['another magic number', { 0: 1 }],
    ['blocks of another size', { 12: 4096 }],
    ['more blocks than its inode', { 16: 65 }],
    ['no first block', { 20: 0 }],
    ['a first block behind its end', { 20: 64 }],
    ['changes to replay', { 28: 1 }],
    ['an error', { 32: 5 }],
  ])('with %s is not written to', (_, change) => {
    expect(() => parseJournal(superblock(change as Record<number, number>), 64)).toThrow(MalformedError);
  });

  it('names each changed block in a descriptor, and ends in a commit of the same number', () => {
    const changes = [3, 9].map((block) => ({
      offset: block * blockSize,
      data: Buffer.alloc(blockSize, block),
    }));
    const bytes = transactionBlocks(changes, parseJournal(superblock(), 64), blockSize);
    expect(bytes.length).toBe(transactionSize(2, blockSize) * blockSize);
    expect([0, 4, 8].map((at) => bytes.readUInt32BE(at))).toEqual([magic, 1, 7]);
    // Block number, checksum (none), flags: the same UUID, and the last one.
    expect(bytes.toString('hex', 12, 28)).toBe('00000003000000020000000900' + '00000a');
    expect(bytes[blockSize]).toBe(3);
    expect(bytes[2 * blockSize]).toBe(9);
    expect([0, 4, 8].map((at) => bytes.readUInt32BE(3 * blockSize + at))).toEqual([magic, 2, 7]);
  });

  it('marks a block that begins like one of its own, and does not hold that beginning', () => {
    const data = Buffer.alloc(blockSize, 5);
    data.writeUInt32BE(magic, 0);
    const bytes = transactionBlocks([{ offset: 0, data }], parseJournal(superblock(), 64), blockSize);
    expect(bytes.readUInt16BE(12 + 6) & 1).toBe(1);
    expect(bytes.readUInt32BE(blockSize)).toBe(0);
    expect(bytes.readUInt32BE(blockSize + 4)).toBe(0x0505_0505);
    expect(data.readUInt32BE(0)).toBe(magic);
  });

  it('takes a second descriptor where the first is full', () => {
    const changes = Array.from({ length: 127 }, (_, block) => ({
      offset: block * blockSize,
      data: Buffer.alloc(blockSize),
    }));
    const bytes = transactionBlocks(changes, parseJournal(superblock({ 16: 500 }), 500), blockSize);
    expect(bytes.length / blockSize).toBe(127 + 2 + 1);
    expect(bytes.readUInt32BE(127 * blockSize)).toBe(magic);
    expect(transactionSize(127, blockSize)).toBe(130);
  });

  it('counts on when a transaction is done, and then holds nothing to replay', () => {
    const old = superblock({ 40: 0x12 });
    const journal = parseJournal(old, 64);
    const open = journalSuperblock(old, journal, 'open');
    expect([open.readUInt32BE(24), open.readUInt32BE(28), open.readUInt32BE(40)]).toEqual([7, 1, 0]);
    expect(parseJournal(journalSuperblock(old, journal, 'done'), 64).sequence).toBe(8);
  });
});

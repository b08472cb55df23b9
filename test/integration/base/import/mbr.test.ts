import { setImmediate as turn } from 'node:timers/promises';
import { expect, it } from 'vitest';
import { readMbr } from '../../../../src/base/import/disk/mbr.ts';
import { MalformedError } from '../../../../src/host/tar/bytes.ts';

const sector = 512;

/** Writes a boot record. @param entries [type, first sector, count] */
function record(disk: Buffer, at: number, entries: readonly (readonly [number, number, number])[]): void {
  disk.writeUInt16LE(0xaa55, at * sector + 510);
  for (const [index, [type, first, count]] of entries.entries()) {
    const place = at * sector + 446 + index * 16;
    disk[place + 4] = type;
    disk.writeUInt32LE(first, place + 8);
    disk.writeUInt32LE(count, place + 12);
  }
}

/** Partition numbers of a disk. Throws what is no MalformedError where a thousand reads do not do. */
async function numbersOn(disk: Buffer): Promise<number[] | undefined> {
  let reads = 0;
  const partitions = await readMbr({
    size: disk.length,
    async read(offset, length) {
      reads += 1;
      if (reads > 1000) throw new Error('the chain has no end');
      await turn();
      return disk.subarray(offset, offset + length);
    },
  });
  return partitions?.map(({ number }) => number);
}

it.each<[string, [number, number, number]]>([
  ['empty', [0, 0, 0]],
  ['a partition', [0x83, 1, 1]],
])('a chain of logical partitions that leads back to itself is damage, its entry %s', async (_, entry) => {
  const disk = Buffer.alloc(1 << 20);
  record(disk, 0, [[5, 10, 100]]);
  record(disk, 10, [entry, [5, 0, 1]]);
  await expect(numbersOn(disk)).rejects.toThrow(MalformedError);
});

it('a chain as long as any tool makes is read, its empty records left out', async () => {
  const disk = Buffer.alloc(1 << 20);
  record(disk, 0, [[5, 10, 1000]]);
  for (let index = 0; index < 128; index++)
    record(disk, 10 + index, [
      [index % 2 === 0 ? 0x83 : 0, 1, 1],
      [index === 127 ? 0 : 5, index + 1, 1],
    ]);
  expect(await numbersOn(disk)).toEqual(Array.from({ length: 64 }, (_, index) => 5 + index));
});

import { expect, it } from 'vitest';
import { UserError } from '../../../src/host/errors.ts';
import type { Bytes } from '../../../src/host/tar/bytes.ts';
import { encodeEntry } from '../../../src/host/tar/write.ts';
import { scanArchive } from '../../../src/workload/archive/scan.ts';

const plain = { mode: 0o755, uid: 0, gid: 0, mtime: 0, linkName: '', deviceMajor: 0, deviceMinor: 0 };

/** Two million blocks, and how many of them were asked for. */
function endless(block: (i: number) => Buffer): { bytes: () => Bytes; given: () => number } {
  let given = 0;
  return {
    given: () => given,
    async *bytes() {
      for (let i = 0; i < 2_000_000; i++) {
        given += 1;
        yield block(i);
      }
    },
  };
}

const folder = (i: number) =>
  encodeEntry({ ...plain, name: `d${i}/`, type: 'directory', size: 0, xattrs: new Map() });

/** A global header of pax without any record. */
const globalHeader = (() => {
  const block = Buffer.from(folder(0));
  block[156] = 'g'.charCodeAt(0);
  block.fill(' ', 148, 156);
  const sum = block.reduce((total, byte) => total + byte, 0);
  block.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148);
  return block;
})();

it.each([
  ['empty folders', folder, 'it holds more than 20000 entries', 20_001],
  [
    'headers that belong to no entry',
    () => globalHeader,
    'it has more than 100 extended headers in a row',
    101,
  ],
] as const)('an archive of two million %s is given up early', async (_, block, why, most) => {
  const source = endless(block);
  const error = await scanArchive('a.tar', source.bytes(), async () => {}).catch((thrown) => thrown);
  expect(error).toBeInstanceOf(UserError);
  expect(error.message).toBe(`cannot read docker archive a.tar: ${why}`);
  expect(source.given()).toBe(most);
});

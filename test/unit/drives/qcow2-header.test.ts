import { mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { readQcow2Header } from '../../../src/drives/qcow2-header.ts';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'qcow2-header-'));
});
afterAll(async () => {
  await rm(folder, { recursive: true });
});

async function drive(change: (header: Buffer) => void = () => {}): Promise<string> {
  const header = Buffer.alloc(104);
  header.writeUInt32BE(0x514649fb, 0);
  header.writeUInt32BE(3, 4);
  header.writeUInt32BE(16, 20);
  header.writeBigUInt64BE(2n ** 30n, 24);
  header.writeUInt32BE(2, 36);
  header.writeBigUInt64BE(0x30000n, 40);
  header.writeUInt32BE(104, 100);
  change(header);
  const file = join(folder, `${Math.random()}.qcow2`);
  await writeFile(file, header);
  return file;
}

test('a plain header gives version, sizes and the place of its first table', async () => {
  expect(await readQcow2Header(await drive())).toEqual({
    version: 3,
    virtualBytes: 2 ** 30,
    clusterBytes: 2 ** 16,
    l1Table: 0x30000,
    l1Entries: 2,
    snapshots: 0,
    backingName: undefined,
  });
});

test.each<[string, (header: Buffer) => void, RegExp]>([
  ['a backing file', (header) => header.writeBigUInt64BE(512n, 8), /names a backing file/],
  ['an external data file', (header) => header.writeBigUInt64BE(4n, 72), /names an external data file/],
  ['an encrypted qcow2 layer', (header) => header.writeUInt32BE(2, 32), /encrypted/],
  ['an unknown feature', (header) => header.writeBigUInt64BE(1n << 40n, 72), /features 0x10000000000/],
  ['extended L2 entries', (header) => header.writeBigUInt64BE(16n, 72), /features 0x10/],
  ['version 1', (header) => header.writeUInt32BE(1, 4), /version is 1/],
  ['version 4', (header) => header.writeUInt32BE(4, 4), /version is 4/],
  ['another magic', (header) => header.write('KDMV', 0), /not a qcow2 drive/],
  ['clusters of 2^40 bytes', (header) => header.writeUInt32BE(40, 20), /2\^40/],
  ['a first table that is too small', (header) => header.writeUInt32BE(1, 36), /has 1 entries, and 2 are/],
  ['a size beyond every drive', (header) => header.writeBigUInt64BE(2n ** 63n, 24), /claims/],
])('a drive with %s is refused', async (_, change, message) => {
  await expect(readQcow2Header(await drive(change))).rejects.toThrow(message);
});

test('absent files, folders and short files are told apart', async () => {
  await expect(readQcow2Header(join(folder, 'absent'))).rejects.toThrow(/no such file/);
  await expect(readQcow2Header(folder)).rejects.toThrow(/not a regular file/);
  const short = join(folder, 'short');
  await writeFile(short, 'QFI');
  await expect(readQcow2Header(short)).rejects.toThrow(/not a qcow2 drive/);
  await symlink('/dev/zero', join(folder, 'zero'));
  await expect(readQcow2Header(join(folder, 'zero'))).rejects.toThrow(/not a regular file/);
});

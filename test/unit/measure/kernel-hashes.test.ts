import { createHash } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import {
  commandLineBytes,
  hashBlobs,
  hashCommandLine,
  hashInitrdFile,
  hashKernelFile,
  hashTableAddress,
  kernelHashPage,
  kernelHashTable,
  MeasurementError,
  noInitrdHash,
} from '../../../src/measure/index.ts';

const sha256 = (bytes: Buffer) => createHash('sha256').update(bytes).digest();
const blobs = { kernel: Buffer.alloc(32, 1), initrd: Buffer.alloc(32, 2), commandLine: Buffer.alloc(32, 3) };
const area = (base: number, size = 0x400) => ({ hashTableArea: { base, size } });

const folder = mkdtempSync(join(tmpdir(), 'measure-blobs-'));
afterAll(() => rmSync(folder, { recursive: true }));
function file(name: string, bytes: Buffer): string {
  const path = join(folder, name);
  writeFileSync(path, bytes);
  return path;
}
function bzImage(size: number): Buffer {
  const bytes = Buffer.alloc(size, 0xab);
  bytes.write('HdrS', 0x202, 'latin1');
  return bytes;
}

describe('command line', () => {
  it('is its UTF-8 bytes and one NUL', () => {
    expect(commandLineBytes('café ')).toEqual(Buffer.from([0x63, 0x61, 0x66, 0xc3, 0xa9, 0x20, 0]));
  });

  it('hashes alike when absent and when empty', () => {
    expect(hashCommandLine()).toEqual(hashCommandLine(''));
    expect(hashCommandLine()).toEqual(sha256(Buffer.from([0])));
  });

  it('is neither trimmed nor normalised', () => {
    expect(hashCommandLine('a\n')).not.toEqual(hashCommandLine('a'));
    expect(hashCommandLine('\u00fc')).not.toEqual(hashCommandLine('u\u0308'));
  });

  it.each([
    ['a NUL', 'a\0init=/bin/sh', /NUL at character 1/],
    ['half a surrogate pair', 'a\ud800', /surrogate/],
  ])('with %s is refused', (_name, text, message) => {
    expect(() => hashCommandLine(text)).toThrow(MeasurementError);
    expect(() => hashCommandLine(text)).toThrow(message);
  });
});

describe('hash table', () => {
  it('holds command line, initrd and kernel, in that order', () => {
    const table = kernelHashTable(blobs);
    expect(table).toHaveLength(176);
    expect(table.readUInt16LE(16)).toBe(168);
    expect([table[36], table[86], table[136]]).toEqual([3, 2, 1]);
    expect(table.subarray(168).every((byte) => byte === 0)).toBe(true);
  });

  it('refuses a hash of another length', () => {
    expect(() => kernelHashTable({ ...blobs, initrd: Buffer.alloc(48) })).toThrow(
      /initrd hash has 48 bytes, expected 32/,
    );
  });

  it('lies in the page where the firmware looks, and nowhere else', () => {
    const page = kernelHashPage(area(0x810c00), blobs);
    expect(page).toHaveLength(4096);
    expect(page.subarray(0xc00, 0xc00 + 176)).toEqual(kernelHashTable(blobs));
    page.fill(0, 0xc00, 0xc00 + 176);
    expect(page.every((byte) => byte === 0)).toBe(true);
  });

  it('lies in guest memory where the footer entry says', () => {
    expect(hashTableAddress(area(0x810c00))).toBe(0x810c00);
  });

  it.each([
    ['no area', { hashTableArea: undefined }, /no kernel hash table area/],
    ['an area of 175 bytes', area(0x810c00, 175), /expected 176 bytes/],
    ['an area that crosses its page', area(0x810f51), /within one page/],
  ])('has no place in %s', (_name, firmware, message) => {
    expect(() => kernelHashPage(firmware, blobs)).toThrow(MeasurementError);
    expect(() => hashTableAddress(firmware)).toThrow(message);
  });
});

describe('blob files', () => {
  it.each([
    0x206,
    1024 * 1024,
    1024 * 1024 + 1,
    3 * 1024 * 1024 - 1,
  ])('a kernel of %i bytes hashes as stored', async (size) => {
    const bytes = bzImage(size);
    expect(await hashKernelFile(file(`kernel-${size}`, bytes))).toEqual(sha256(bytes));
  });

  it('an initrd is any file, even an empty one', async () => {
    expect(await hashInitrdFile(file('empty', Buffer.alloc(0)))).toEqual(noInitrdHash);
    const bytes = Buffer.alloc(2_500_000, 7);
    expect(await hashInitrdFile(file('initrd', bytes))).toEqual(sha256(bytes));
  });

  it('are hashed together', async () => {
    const kernel = file('kernel', bzImage(5000));
    expect(await hashBlobs({ kernel })).toEqual({
      kernel: sha256(bzImage(5000)),
      initrd: noInitrdHash,
      commandLine: hashCommandLine(''),
    });
  });

  it.each([
    ['an empty file', Buffer.alloc(0)],
    ['one that ends in the magic', bzImage(0x205)],
    ['a bare PE', Buffer.concat([Buffer.from('MZ'), Buffer.alloc(8192)])],
    ['an ELF', Buffer.concat([Buffer.from('\x7fELF', 'latin1'), Buffer.alloc(8192)])],
  ])('refuse as a kernel %s', async (_name, bytes) => {
    const path = file('not-a-kernel', bytes);
    await expect(hashKernelFile(path)).rejects.toThrow(MeasurementError);
    await expect(hashKernelFile(path)).rejects.toThrow(/at offset 0x202, expected "HdrS"/);
  });

  it('that are absent or folders are refused by name', async () => {
    await expect(hashInitrdFile(join(folder, 'none'))).rejects.toThrow(/cannot hash initrd .*none: ENOENT/);
    await expect(hashKernelFile(folder)).rejects.toThrow(MeasurementError);
  });
});

import { createHash } from 'node:crypto';
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import {
  copyHashed,
  readSmallFile,
  readTextFile,
  sha256File,
  writeFileAtomic,
} from '../../../src/host/files.ts';

let folder: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'files-test-'));
});

afterEach(() => rm(folder, { recursive: true }));

test('a file is replaced with the exact mode, whatever the umask, and no temporary file stays', async () => {
  const path = join(folder, 'file');
  await writeFile(path, 'old');
  const umask = process.umask(0o077);
  try {
    await writeFileAtomic(path, 'new', 0o644);
  } finally {
    process.umask(umask);
  }
  expect(await readFile(path, 'utf8')).toBe('new');
  expect((await stat(path)).mode & 0o777).toBe(0o644);
  expect(await readdir(folder)).toEqual(['file']);
});

test('a failed replacement leaves the target and no temporary file', async () => {
  await expect(writeFileAtomic(folder, 'data', 0o600)).rejects.toThrow();
  expect(await readdir(folder)).toEqual([]);
  expect(
    (await readdir(join(folder, '..'))).filter((name) => name.startsWith(`.${folder.split('/').at(-1)}`)),
  ).toEqual([]);
});

test('SHA-256 and size of a streamed file', async () => {
  const path = join(folder, 'file');
  const bytes = Buffer.alloc(3_000_000, 'abc');
  await writeFile(path, bytes);
  let told = 0;
  const { hex, size } = await sha256File(path, { onBytes: (count) => (told += count) });
  expect(hex).toBe(createHash('sha256').update(bytes).digest('hex'));
  expect([size, told]).toEqual([bytes.length, bytes.length]);
});

test('hashing stops when it is aborted', async () => {
  const path = join(folder, 'file');
  await writeFile(path, 'x');
  await expect(sha256File(path, { signal: AbortSignal.abort() })).rejects.toThrow(/abort/i);
});

test('a copy has the mode that was asked for, whatever umask and source say, and its hash', async () => {
  const source = join(folder, 'source');
  await writeFile(source, 'content', { mode: 0o666 });
  const umask = process.umask(0);
  try {
    const hex = await copyHashed(source, join(folder, 'copy'), 0o640);
    expect(hex).toBe(createHash('sha256').update('content').digest('hex'));
  } finally {
    process.umask(umask);
  }
  expect((await stat(join(folder, 'copy'))).mode & 0o777).toBe(0o640);
  // Nothing that lies there already is written to.
  await expect(copyHashed(source, join(folder, 'copy'), 0o640)).rejects.toMatchObject({ code: 'EEXIST' });
});

test('a small file is read whole, a larger one, a folder and a device are refused', async () => {
  const path = join(folder, 'file');
  await writeFile(path, 'content');
  expect(await readTextFile(path, 7)).toBe('content');
  await expect(readSmallFile(path, 6)).rejects.toThrow('it is larger than 6 bytes');
  await expect(readSmallFile(folder)).rejects.toThrow('it is a folder');
  await expect(readSmallFile('/dev/null')).rejects.toThrow('it is not a regular file');
  await expect(readSmallFile(join(folder, 'nothing'))).rejects.toMatchObject({ code: 'ENOENT' });
});

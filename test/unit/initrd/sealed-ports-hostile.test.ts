import { execFileSync } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { zstdCompressSync } from 'node:zlib';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { sealedOutPorts } from '../../../src/initrd/index.ts';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'sealed-ports-test-'));
});
afterEach(() => rm(folder, { recursive: true }));

test('an initrd of a thousand archives that unpack to much is not searched for minutes', async () => {
  const frame = zstdCompressSync(Buffer.alloc(60 * 2 ** 20));
  const file = join(folder, 'initrd.img');
  await writeFile(file, Buffer.concat(Array<Buffer>(1000).fill(frame)));
  const before = performance.now();
  expect(await sealedOutPorts(file)).toBeUndefined();
  expect(performance.now() - before).toBeLessThan(10_000);
});

test('a pipe in place of an initrd is not waited for', async () => {
  const file = join(folder, 'initrd.img');
  execFileSync('mkfifo', [file]);
  expect(await sealedOutPorts(file)).toBeUndefined();
});

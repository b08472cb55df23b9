import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { stageFile } from '../../../src/drives/stage-file.ts';
import { sha256File } from '../../../src/host/files.ts';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'aborted-'));
  await writeFile(join(folder, 'file'), 'content');
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const reason = new Error('another task failed');
/** The runner reports an error that nobody caught, whatever the assertions say. */
const settle = () => new Promise((resolve) => setImmediate(resolve));

test.each([
  ['sha256File', () => sha256File(join(folder, 'file'), { signal: AbortSignal.abort(reason) })],
  [
    'stageFile',
    () =>
      stageFile(
        { source: join(folder, 'file'), size: 7 } as Parameters<typeof stageFile>[0],
        join(folder, 'copy'),
        { signal: AbortSignal.abort(reason) },
      ),
  ],
])('%s that begins after the build was stopped fails with its reason alone', async (_, read) => {
  await expect(read()).rejects.toBe(reason);
  await settle();
});

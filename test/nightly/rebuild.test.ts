import { basename } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { showOnFailure } from '../e2e/harness.ts';
import { BuildBench, type Outcome } from '../integration/build/bench.ts';

/** An image that was built again under its id, in a room of its own: its registry is no other test's. */
let bench: BuildBench;
let name: string;

beforeAll(async () => {
  bench = await BuildBench.make();
  expect((await bench.build()).status).toBe(0);
  name = basename(await bench.bundle());
  expect((await bench.run(['rebuild', bench.path(`target/${name}`), '--keep-id'])).status).toBe(0);
});
afterAll(() => bench?.[Symbol.asyncDispose]());

async function boot(folder: string): Promise<Outcome> {
  const outcome = await bench.run(['boot', bench.path(folder), '--timeout', '600']);
  showOnFailure(`cvm boot ${folder}`, [...outcome.stdout.split('\n'), ...outcome.stderr.split('\n')]);
  return outcome;
}

test('an image that was built again under its id gets its new key and runs its workload', async () => {
  const { status, stdout } = await boot(`target/${name}`);
  expect(status).toBe(0);
  expect(stdout).toContain('booted and ended well');
});

test('the bundle whose place it took gets no key any more', async () => {
  await bench.copyOf(`target/${name}.replaced`, `old/${name}`);
  const { status, stdout } = await boot(`old/${name}`);
  expect(status).not.toBe(0);
  expect(stdout).not.toContain('released the disk key');
  expect(stdout).not.toContain('booted and ended well');
});

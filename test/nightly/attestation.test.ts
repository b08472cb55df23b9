import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { bootAttested, buildAttested, expectWorkloadUntil, frequency, timeOf } from '../e2e/attested.ts';

let root: string;
let folder: string;

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'attestation-'));
  vi.stubEnv('XDG_STATE_HOME', join(root, 'state'));
  folder = await buildAttested(root);
});

afterAll(async () => {
  vi.unstubAllEnvs();
  await rm(root, { recursive: true });
});

test('a key broker that is gone ends the VM after a bounded silence', async () => {
  let closed = false;
  const { end, bootLog, workloadLog } = await bootAttested(folder, (line, vm) => {
    if (closed || !line.includes('the KBS confirms this VM')) return;
    closed = true;
    void vm.closeKbs();
  });
  const message = `the KBS has not confirmed this VM for ${10 * frequency} seconds`;
  expect(end).toMatchObject({ end: 'powered-off', verdict: { result: 'failed', code: 'E38', message } });
  expect(bootLog).toMatch(/no answer from the KBS \(.*\); powering off in \d+ s unless it confirms this VM/);
  expect(bootLog).toMatch(/FAILED E38: .*\n.*\] powering off\n$/);
  const silence = timeOf(bootLog, /FAILED E38/) - timeOf(bootLog, /the KBS confirms this VM/);
  expect(silence).toBeGreaterThanOrEqual(10 * frequency - 1);
  expect(silence).toBeLessThan(10 * frequency + 30);
  expectWorkloadUntil(workloadLog, timeOf(bootLog, /FAILED E38/));
});

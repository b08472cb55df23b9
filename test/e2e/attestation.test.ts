import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { retireImage } from '../../src/kbs/index.ts';
import { bootAttested, buildAttested, expectWorkloadUntil, timeOf } from './attested.ts';

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

test('a workload gets reports of VMPL 1 only, runs on while the KBS confirms, and is stopped by three refusals', async () => {
  let confirmations: NodeJS.Timeout | undefined;
  const { end, bootLog, workloadLog, calls, requests } = await bootAttested(folder, (line, vm) => {
    if (!line.includes('the KBS confirms this VM')) return;
    // The first attestation released the key; four more while the workload runs are enough.
    confirmations ??= setInterval(() => {
      if (vm.requests.attest < 5) return;
      clearInterval(confirmations);
      void retireImage(vm.state, vm.id);
    }, 200);
  });
  clearInterval(confirmations);

  expect(workloadLog).toContain('probe: nodes: ');
  expect(/^probe: nodes: (.*)$/m.exec(workloadLog)?.[1]).not.toContain('sev-guest');
  expect(workloadLog).toContain('probe: sev-guest anywhere: 0');
  expect(workloadLog).toMatch(/^probe: a device of the misc major: .*Operation not permitted/m);
  for (const vmpl of ['none', '0', '1', '2', '3']) {
    expect(workloadLog).toContain(`probe: report ${vmpl}: status 0, vmpl 01000000, data yes\n`);
  }
  expect(workloadLog).toContain('probe: snpguest is /host/bin/snpguest\n');
  expect(workloadLog).toContain('probe: key: status 1\n');
  expect(workloadLog).toContain('probe: verify: stand-in: verify attestation /opt/certs report.bin\n');
  expect(workloadLog).toContain('probe: writing to /host/bin: status 1\n');
  const asked = calls.split('\n').filter((line) => line.startsWith('report '));
  expect(asked).toHaveLength(5);
  for (const line of asked) expect(line).toMatch(/ --vmpl 1$/);

  expect(end).toMatchObject({
    end: 'powered-off',
    verdict: { result: 'failed', code: 'E37', message: 'the KBS refused this VM three times in a row' },
  });
  expect(bootLog.match(/the KBS confirms this VM/g)).toHaveLength(1);
  for (const count of [1, 2, 3]) {
    expect(bootLog).toContain(
      `the KBS refused this VM (${count} of 3 in a row): the policy denies it (status 401)`,
    );
  }
  expect(bootLog).toMatch(/FAILED E37: the KBS refused this VM three times in a row\n.*\] powering off\n$/);
  // The key at the start, then at least three confirmations, in which it is released in a form that nobody can open.
  expect(requests.released).toBeGreaterThanOrEqual(4);
  expectWorkloadUntil(workloadLog, timeOf(bootLog, /FAILED E37/));
});

import { constants } from 'node:fs';
import { chmod, cp, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { execa } from 'execa';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { bootDevelopmentBundle } from '../../src/boot/index.ts';
import { projectRoot } from '../../src/build/builder-file.ts';
import { developmentState } from '../../src/build/policy-place.ts';
import { loadSettings } from '../../src/build/settings.ts';
import { build, buildOptions } from '../../src/build.ts';
import { readManifest } from '../../src/bundle/index.ts';
import { readDriveFile } from '../../src/drives/index.ts';
import { workDirectory } from '../../src/host/temp.ts';
import { startDevelopmentKbs } from '../../src/kbs/dev-kbs/index.ts';
import { retireImage } from '../../src/kbs/index.ts';
import { standInSnpguest } from '../integration/site/stand-in-snpguest.ts';
import { showOnFailure } from './harness.ts';

/** Seconds; ten times as many without an answer end a development VM. */
const frequency = 12;

/** The workload: tries snpguest as FLARE does, looks for the device, then runs on until it is stopped. */
const workload = `#!/bin/sh
say() { echo "probe: $*"; }
# The stand-in for snpguest is a script for the VM's busybox, which this image has elsewhere.
mkdir -p /usr/bin && busybox ln -s /bin/busybox /usr/bin/busybox
cd /tmp
say "nodes: $(ls /dev | busybox xargs)"
say "sev-guest anywhere: $(busybox find / -name sev-guest -path '*dev*' ! -path '/proc/*' ! -path '/sys/*' 2>/dev/null | wc -l)"
busybox mknod /dev/misc c 10 183
say "a device of the misc major: $(cat /dev/misc 2>&1 | head -c 100)"
busybox rm /dev/misc
head -c 64 /dev/urandom > request.bin
for vmpl in none 0 1 2 3; do
  rm -f report.bin
  case $vmpl in none) options= ;; *) options="--vmpl $vmpl" ;; esac
  /host/bin/snpguest report report.bin request.bin $options
  status=$?
  level=$(busybox hexdump -s 48 -n 4 -v -e '1/1 "%02x"' report.bin)
  data=$(busybox hexdump -s 80 -n 64 -v -e '1/1 "%02x"' report.bin)
  [ "$data" = "$(busybox hexdump -v -e '1/1 "%02x"' request.bin)" ] && same=yes || same=no
  say "report $vmpl: status $status, vmpl $level, data $same"
done
/host/bin/snpguest key out vcek
say "key: status $?"
say "verify: $(/host/bin/snpguest verify attestation /opt/certs report.bin)"
(echo x > /host/bin/x) 2>/dev/null; say "writing to /host/bin: status $?"
say ready
count=0
while :; do
  sleep 1
  count=$((count + 1))
  read -r uptime _ < /proc/uptime
  say "alive $count at $uptime"
done
`;

let root: string;
let folder: string;

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'attestation-e2e-'));
  vi.stubEnv('XDG_STATE_HOME', join(root, 'state'));
  const example = join(root, 'example');
  await cp(join(projectRoot, 'examples/quickstart'), example, { recursive: true });
  await writeFile(join(example, 'workload.sh'), workload);
  await chmod(join(example, 'workload.sh'), 0o755);
  await execa(join(example, 'make-archive.sh'), [join(root, 'image.tar.gz')]);
  const binaries = join(root, 'binaries');
  await mkdir(binaries);
  await writeFile(join(binaries, 'snpguest'), standInSnpguest('/applog/snpguest.calls'));
  const configFile = join(root, 'cc_site-1.yml');
  await writeFile(
    configFile,
    `docker_archive: ${join(root, 'image.tar.gz')}
root_drive_size: 2
runtime_attestation: true
cc_attestation:
  check_frequency: ${frequency}
`,
  );
  const builderFile = join(root, 'builder.yml');
  await writeFile(builderFile, '{}\n');
  const request = { configFile, builderFile, development: true, output: root };
  const settings = { ...(await loadSettings(request)), binaries };
  const { result } = await build.graph.run({
    options: buildOptions(settings),
    targets: await build.targetsOf(settings),
    signal: new AbortController().signal,
  });
  folder = result.folder;
});

afterAll(async () => {
  vi.unstubAllEnvs();
  await rm(root, { recursive: true });
});

/** Boots a copy against a development KBS of the test's own; `onLine` sees the console as it comes. */
async function boot(onLine: (line: string, vm: Running) => void) {
  await using work = await workDirectory({ bytes: 2 ** 29 });
  const copy = join(work.path, basename(folder));
  await cp(folder, copy, { recursive: true, mode: constants.COPYFILE_FICLONE });
  const manifest = await readManifest(copy);
  const state = developmentState();
  const console: string[] = [];
  const lines: string[] = [];
  showOnFailure('console', console);
  showOnFailure('development KBS', lines);
  const kbs = await startDevelopmentKbs({
    stateDirectory: state,
    registryDirectory: state,
    digest: manifest.launch.digests.find(({ vcpus }) => vcpus === 2)!.hex,
    inMemory: true,
    log: (line) => lines.push(line),
  });
  const vm: Running = {
    id: manifest.id,
    requests: kbs.requests,
    state,
    closeKbs: () => kbs.close(),
  };
  try {
    const end = await bootDevelopmentBundle({
      folder: copy,
      state,
      kbsUrl: kbs.url,
      workDirectory: work.path,
      timeout: 800,
      onConsole: (line) => {
        console.push(line);
        onLine(line, vm);
      },
      note: () => {},
      hostile: {},
    });
    const log = async (name: string) =>
      (await readDriveFile(join(copy, 'applog.qcow2'), `/${name}`, { maxBytes: 2 ** 20 }))?.toString() ?? '';
    const [bootLog, workloadLog, calls] = [
      await log('boot.log'),
      await log('workload.log'),
      await log('snpguest.calls'),
    ];
    return { end, bootLog, workloadLog, calls, requests: { ...kbs.requests } };
  } finally {
    await kbs.close().catch(() => {});
  }
}

interface Running {
  id: string;
  requests: { attest: number };
  state: string;
  closeKbs(): Promise<void>;
}

/** Seconds since the start of the VM at which a line of the boot log was written. */
const timeOf = (log: string, pattern: RegExp) => {
  const line = log.split('\n').find((text) => pattern.test(text));
  return Number(/^\[([\d.]+)\]/.exec(line ?? '')?.[1]);
};

/** The workload ran on to the end, and not beyond it: systemd alone would have given it half a minute more. */
function expectWorkloadUntil(log: string, end: number): void {
  const last = Number(/^probe: alive \d+ at ([\d.]+)$/.exec(log.trimEnd().split('\n').at(-1) ?? '')?.[1]);
  expect(last).toBeGreaterThan(end - 10);
  expect(last).toBeLessThan(end + 3);
}

test('a key broker that is gone ends the VM after a bounded silence', async () => {
  let closed = false;
  const { end, bootLog, workloadLog } = await boot((line, vm) => {
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

// The last one: it retires the image.
test('a workload gets reports of VMPL 1 only, runs on while the KBS confirms, and is stopped by three refusals', async () => {
  let confirmations: NodeJS.Timeout | undefined;
  const { end, bootLog, workloadLog, calls, requests } = await boot((line, vm) => {
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

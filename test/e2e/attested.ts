import { constants } from 'node:fs';
import { chmod, cp, mkdir, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { execa } from 'execa';
import { expect } from 'vitest';
import { bootDevelopmentBundle } from '../../src/boot/index.ts';
import { projectRoot } from '../../src/build/builder-file.ts';
import { developmentState } from '../../src/build/policy-place.ts';
import { loadSettings } from '../../src/build/settings.ts';
import { build, buildOptions } from '../../src/build.ts';
import { readManifest } from '../../src/bundle/index.ts';
import { readDriveFile } from '../../src/drives/index.ts';
import { workDirectory } from '../../src/host/temp.ts';
import { startDevelopmentKbs } from '../../src/kbs/dev-kbs/index.ts';
import { standInSnpguest } from '../integration/site/stand-in-snpguest.ts';
import { showOnFailure } from './harness.ts';

/** Seconds; ten times as many without an answer end a development VM. */
export const frequency = 12;

/** The workload: tries snpguest as FLARE does, looks for the device, then runs on until it is stopped. */
const workload = `#!/bin/sh
say() { echo "probe: $*"; }
# The stand-in for snpguest is a script for the VM's busybox, which this image has elsewhere.
mkdir -p /usr/bin && busybox ln -s /bin/busybox /usr/bin/busybox
cd /tmp
say "nodes: $(ls /dev | busybox xargs)"
say "sev-guest anywhere: $(busybox find / -name sev-guest -path '*dev*' ! -path '/proc/*' ! -path '/sys/*' 2>/dev/null | wc -l)"
say "a device of the misc major: $(busybox mknod /dev/misc c 10 183 2>&1 && cat /dev/misc 2>&1 | head -c 100)"
say "snpguest is $(command -v snpguest)"
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

/**
 * Builds a development bundle with that workload and run-time attestation, in a folder that the caller removes.
 * @returns its folder
 */
export async function buildAttested(root: string): Promise<string> {
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
  return result.folder;
}

/** Boots a copy of it against a development KBS of the test's own; `onLine` sees the console as it comes. */
export async function bootAttested(folder: string, onLine: (line: string, vm: Running) => void) {
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

/** What a test may do while the VM runs. */
interface Running {
  id: string;
  requests: { attest: number };
  state: string;
  closeKbs(): Promise<void>;
}

/** Seconds since the start of the VM at which a line of the boot log was written. */
export const timeOf = (log: string, pattern: RegExp) => {
  const line = log.split('\n').find((text) => pattern.test(text));
  return Number(/^\[([\d.]+)\]/.exec(line ?? '')?.[1]);
};

/** The workload ran on to the end, and not beyond it: systemd alone would have given it half a minute more. */
export function expectWorkloadUntil(log: string, end: number): void {
  const last = Number(/^probe: alive \d+ at ([\d.]+)$/.exec(log.trimEnd().split('\n').at(-1) ?? '')?.[1]);
  expect(last).toBeGreaterThan(end - 10);
  expect(last).toBeLessThan(end + 3);
}

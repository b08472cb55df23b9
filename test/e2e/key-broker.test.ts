import { createServer } from 'node:net';
import { join } from 'node:path';
import { execa } from 'execa';
import { expect, test } from 'vitest';
import { projectRoot } from '../../src/build/builder-file.ts';
import { measureLaunch } from '../../src/bundle/index.ts';
import { workDirectory } from '../../src/host/temp.ts';
import { startDevelopmentKbs } from '../../src/kbs/dev-kbs/index.ts';
import { readFirmware } from '../../src/measure/index.ts';
import { built } from './built.ts';
import { copyOfBundle, expectFailedClosed, showOnFailure, type Vm } from './harness.ts';

/** Digest of a launch of this bundle with another command line, as the hardware would report it. */
async function digestWith(vm: Vm, cmdline: string): Promise<string> {
  const { launch } = await measureLaunch({
    firmware: await readFirmware(vm.file('OVMF.amdsev.fd')),
    kernel: vm.file('vmlinuz'),
    initrd: vm.file('initrd.img'),
    cmdline,
    cpu: vm.manifest.launch.cpu,
    guestFeatures: Number(vm.manifest.launch.guest_features),
    vcpus: [2],
    memoryGib: vm.manifest.launch.memory_gib,
  });
  return launch.digests[0]!.hex;
}

test('the KBS denies the key to a launch with another command line', async () => {
  await using vm = await copyOfBundle();
  // rdinit= would start a shell in place of InitApp, so nothing but the digest stands in its way.
  const digest = await digestWith(vm, `${vm.manifest.launch.cmdline} rdinit=/bin/sh`);
  expect(vm.manifest.launch.digests.map(({ hex }) => hex)).not.toContain(digest);
  const end = await vm.boot({ hostile: { digest } });
  await expectFailedClosed(vm, end, 'E33', /^the KBS refused to release the key$/);
  // A refusal is final: it does not ask again.
  expect(end.requests).toMatchObject({ resource: 1, released: 0, refused: 1 });
});

test('a KBS whose certificate is not the pinned one gets no request', async () => {
  await using vm = await copyOfBundle();
  await using other = await workDirectory();
  const digest = vm.manifest.launch.digests.find(({ vcpus }) => vcpus === 2)!.hex;
  const kbs = await startDevelopmentKbs({
    stateDirectory: other.path,
    registryDirectory: built().state,
    digest,
  });
  try {
    const end = await vm.boot({ kbsUrl: kbs.url, hostile: {} });
    await expectFailedClosed(vm, end, 'E34', /^the KBS did not show the pinned certificate$/);
    expect(kbs.requests.total).toBe(0);
  } finally {
    await kbs.close();
  }
});

test('with no KBS within reach it stops after a bounded number of attempts, and the command fails', async () => {
  await using vm = await copyOfBundle();
  const { all, exitCode } = await execa(
    join(projectRoot, 'bin/cvm'),
    ['boot', '--kbs', `https://127.0.0.1:${await closedPort()}`, vm.folder],
    { env: { XDG_STATE_HOME: built().stateHome }, all: true, reject: false },
  );
  showOnFailure('cvm boot', all.split('\n'));
  expect(exitCode).toBe(1);
  expect(all).toContain('error: the CVM powered off: E35: the KBS gave no key in 3 attempts');
  const log = (await vm.log('boot.log')) ?? '';
  expect(log.match(/requesting the disk key/g)).toHaveLength(3);
  expect(log).toMatch(/FAILED E35: the KBS gave no key in 3 attempts\n.*\] powering off\n$/);
  expect(await vm.log('workload.log')).toBeUndefined();
});

/** A port that nobody listens on. */
async function closedPort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as { port: number };
  await new Promise((resolve) => server.close(resolve));
  return port;
}

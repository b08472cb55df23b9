import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { appendFile, open, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { launchScript } from '../../../src/bundle/index.ts';
import { launchInput } from '../../unit/bundle/fixture.ts';
import { canReplaceMachine, type LaunchBench, launchBench } from './launch-script-bench.ts';

let bench: LaunchBench;
beforeEach(async () => {
  bench = await launchBench();
  await bench.makeReady();
});
afterEach(async () => {
  await bench[Symbol.asyncDispose]();
});

const file = (name: string) => join(bench.folder, name);
const snp = '/sys/module/kvm_amd/parameters/sev_snp';

async function refused(message: RegExp, args: string[] = [], options: { root?: boolean } = {}) {
  await bench.started();
  const { status, stdout, stderr } = await bench.onMachine(args, options);
  expect(stderr).toMatch(message);
  expect(stderr).toMatch(/^launch_vm\.sh: cannot start the VM: .*\nhint: .+$/);
  expect(stdout).toBe('');
  expect(status).toBe(1);
  expect(await bench.started()).toBeUndefined();
}

describe.skipIf(!(await canReplaceMachine()))('on a machine', () => {
  test.each([true, false])('where nothing is wrong the printed line is started (root: %s)', async (root) => {
    const [, ...expected] = await bench.dryRun();
    expect(await bench.onMachine([], { root })).toEqual({ status: 0, stdout: '', stderr: '' });
    expect(await bench.started()).toEqual(expected);
  });

  test.each<[string, () => Promise<unknown>, RegExp]>([
    [
      'QEMU does not run',
      () => bench.program('qemu-system-x86_64', 'exit 127'),
      /does not tell its version\nhint: install QEMU 9\.1/,
    ],
    ['QEMU is 9.0', () => bench.standInQemu('9.0.4'), /version 9\.0; SEV-SNP needs 9\.1 or later/],
    ['QEMU is 7.2', () => bench.standInQemu('7.2.22'), /version 7\.2; SEV-SNP needs 9\.1 or later/],
    [
      'QEMU knows no SEV-SNP',
      () => bench.standInQemu('9.2.0', ['sev-guest', 'sev-snp-guest-x']),
      /built without sev-snp-guest\n/,
    ],
    ['KVM is not loaded', () => bench.has('/sys/module/kvm_amd', undefined), /kvm_amd is not loaded/],
    [
      'the kernel is old',
      () => bench.has(snp, undefined).then(() => bench.has(`${snp}_`, '')),
      /Linux 6\.11/,
    ],
    ['SEV-SNP is off', () => bench.has(snp, 'N\n'), /SEV-SNP is not enabled.*\nhint: .*BIOS.*iommu=pt/],
    ['/dev/kvm is missing', () => bench.has('/dev/kvm', undefined), /\/dev\/kvm is missing\nhint: .*dmesg/],
    ['/dev/sev is missing', () => bench.has('/dev/sev', undefined), /\/dev\/sev is missing\nhint: .*dmesg/],
    [
      'memory is short',
      () => bench.has('/proc/meminfo', 'MemAvailable:   16777215 kB\n'),
      /takes 16384 MiB of memory, and 16383 MiB are free\nhint: -m/,
    ],
  ])('where %s nothing is started, but with --no-checks', async (_, change, message) => {
    await change();
    await refused(message);
    expect(await bench.launch(['--no-checks'])).toMatchObject({ stderr: '' });
    expect((await bench.launch(['--dry-run'])).stdout).toContain('sev-snp-guest');
  });

  test.each(['9.1.0', '10.0.13', '11.1.3'])('QEMU %s is good enough', async (version) => {
    await bench.standInQemu(version);
    expect(await bench.onMachine([])).toEqual({ status: 0, stdout: '', stderr: '' });
  });

  test('QEMU that is not installed is told, and QEMU=PATH names another', async () => {
    expect(await bench.launch([], { env: { QEMU: '/nowhere/qemu' } })).toMatchObject({
      status: 1,
      stderr: expect.stringMatching(/\/nowhere\/qemu is not installed\nhint: .*QEMU=PATH/),
    });
    const other = join(bench.top, 'bin/qemu-system-x86_64');
    const { stdout } = await bench.launch(['--dry-run'], { env: { QEMU: other } });
    expect((await bench.words(stdout))[0]).toBe(other);
  });

  test.each([
    '/dev/kvm',
    '/dev/sev',
  ])('%s that a user may not open is told with its group; root opens it', async (device) => {
    await bench.mode(join(bench.machine, device), 0);
    await refused(/dev\/\w+ cannot be opened\nhint: .*group that owns it: \w+$/, [], { root: false });
    await bench.mode(join(bench.machine, device), 0o400);
    await refused(/cannot be opened/, [], { root: false });
    expect(await bench.onMachine([])).toMatchObject({ status: 0 });
  });

  test('the encryption bit comes from the device file of CPUID where there is no such program', async () => {
    await bench.program('cpuid', 'exit 1');
    await bench.has('/dev/cpu/0/cpuid', '');
    const leaf = await open(join(bench.machine, '/dev/cpu/0/cpuid'), 'r+');
    await leaf.write(Buffer.from('000000006f410000ffffffffffffffff', 'hex'), 0, 16, 0x8000001f);
    await leaf.close();
    const { stdout, stderr } = await bench.onMachine(['--dry-run']);
    expect(stdout).toContain('cbitpos=47');
    expect(stderr).toBe('');
  });

  test('less memory with -m is enough', async () => {
    await bench.has('/proc/meminfo', 'MemAvailable:   9000000 kB\n');
    await refused(/takes 16384 MiB/);
    expect(await bench.onMachine(['-m', '8000M'])).toMatchObject({ status: 0 });
  });

  test('a bridge must be there', async () => {
    await bench.has('/sys/class/net/eth0/address', '');
    for (const name of ['br0', 'eth0']) await refused(/no bridge/, ['--net', `bridge:${name}`]);
    await bench.has('/sys/class/net/br0/bridge/bridge_id', '');
    expect(await bench.onMachine(['--net', 'bridge:br0'])).toMatchObject({ status: 0 });
  });

  test('ports below 1024 are for root', async () => {
    await writeFile(bench.script, await launchScript({ ...launchInput, allowedPorts: [443] }));
    await refused(/only root may open port 443.*\nhint: .*--forward 20443:443$/, [], { root: false });
    expect(await bench.onMachine(['--forward', '20443:443'], { root: false })).toMatchObject({ status: 0 });
    expect(await bench.onMachine([])).toMatchObject({ status: 0 });
  });

  test.each(['127.0.0.1', '::1'])('a port that something listens on at %s is told', async (address) => {
    const server = createServer().listen(0, address);
    await once(server, 'listening');
    const { port } = server.address() as { port: number };
    await writeFile(bench.script, await launchScript({ ...launchInput, allowedPorts: [port] }));
    await refused(new RegExp(`port ${port} of this host is in use\nhint: .*--forward \\d+:${port}$`));
    expect(await bench.onMachine(['--net', 'none'])).toMatchObject({ status: 0 });
    server.close();
    await once(server, 'close');
    expect(await bench.onMachine([])).toMatchObject({ status: 0 });
  });

  describe('the bundle', () => {
    test.each(['OVMF.amdsev.fd', 'vmlinuz', 'initrd.img'])('is refused with a damaged %s', async (name) => {
      await appendFile(file(name), 'x');
      await refused(new RegExp(`${name} is not the file that was built\nhint: .*unpack the bundle again`));
      expect(await bench.launch(['--no-checks'])).toMatchObject({ status: 0 });
    });

    test.each<[string, () => Promise<unknown>, RegExp]>([
      ['no manifest', () => rm(file('manifest.json')), /manifest\.json is missing/],
      [
        "another bundle's manifest",
        async () => {
          const text = await readFile(file('manifest.json'), 'utf8');
          await writeFile(file('manifest.json'), text.replace('"id": "885f', '"id": "985f'));
        },
        /manifest\.json is of another bundle/,
      ],
      [
        'a manifest that lists no kernel',
        async () => {
          const text = await readFile(file('manifest.json'), 'utf8');
          await writeFile(file('manifest.json'), text.replace('"vmlinuz"', '"vmlinux"'));
        },
        /manifest\.json has no SHA-256 of vmlinuz/,
      ],
      [
        'a drive that is no drive',
        () => writeFile(file('user_data.qcow2'), 'x'.repeat(512)),
        /user_data\.qcow2 cannot be opened: .*qcow2/,
      ],
    ])('is refused with %s', async (_, change, message) => {
      await change();
      await refused(message);
    });

    test.each([
      ['on one line', (value: unknown) => JSON.stringify(value)],
      [
        'with its names in another order',
        (value: unknown) => JSON.stringify(reversed(value), undefined, '\t'),
      ],
    ])('is good with a manifest %s', async (_, write) => {
      const value = JSON.parse(await readFile(file('manifest.json'), 'utf8'));
      await writeFile(file('manifest.json'), write(value));
      expect(await bench.onMachine([])).toMatchObject({ status: 0, stderr: '' });
      await appendFile(file('vmlinuz'), 'x');
      await refused(/vmlinuz is not the file/);
    });

    test('may have been used: the drives changed since it was built', async () => {
      for (const name of ['crypt_root', 'applog', 'user_data']) await appendFile(file(`${name}.qcow2`), 'x');
      expect(await bench.onMachine([])).toMatchObject({ status: 0, stderr: '' });
    });

    test('needs drives that the user can write to, where the VM does', async () => {
      await bench.mode(file('user_data.qcow2'), 0o400);
      await bench.mode(file('user_config.qcow2'), 0o400);
      expect(await bench.onMachine([], { root: false })).toMatchObject({ status: 0, stderr: '' });
      await writeFile(bench.script, await launchScript({ ...launchInput, userDataWritable: true }));
      await refused(/user_data\.qcow2 cannot be written/, [], { root: false });
      await bench.mode(file('user_data.qcow2'), 0o600);
      await bench.mode(file('crypt_root.qcow2'), 0o400);
      await refused(/crypt_root\.qcow2 cannot be written/, [], { root: false });
    });

    test('is refused while another program has a drive open', async () => {
      const holder = spawn('qemu-io', ['-f', 'qcow2', file('applog.qcow2')]);
      await once(holder.stdout, 'data');
      await refused(/another program has applog\.qcow2 open\nhint: .*qemu-nbd/);
      holder.stdin.end();
      await once(holder, 'close');
      expect(await bench.onMachine([])).toMatchObject({ status: 0 });
    });
  });
});

function reversed(value: unknown): unknown {
  if (value === null || typeof value !== 'object' || Array.isArray(value)) return value;
  return Object.fromEntries(
    Object.entries(value)
      .reverse()
      .map(([name, inner]) => [name, reversed(inner)]),
  );
}

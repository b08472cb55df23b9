import { execFile } from 'node:child_process';
import { cp, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { bundleFiles, describeFiles, writeManifest } from '../../../src/bundle/index.ts';
import { measureLaunch } from '../../../src/bundle/launch.ts';
import { writeLaunchScript } from '../../../src/bundle/launch-script/write.ts';
import type { DiagnoseFlags } from '../../../src/cli/diagnose.ts';
import { launchDigest, parseCpu, parseFirmware } from '../../../src/measure/index.ts';
import { cmdline, manifest } from '../../unit/diagnose/bundle.ts';
import { reportBytes, type Writes } from '../../unit/measure/attestation/report-bytes.ts';
import { firmwareImage } from '../../unit/measure/firmware-image.ts';

let folder: string;
const bundle = () => join(folder, 'cvm_885fe8f608b3');
const file = (name: string) => join(bundle(), name);
let blobs: Awaited<ReturnType<typeof measureLaunch>>['blobs'];
const firmware = parseFirmware(firmwareImage());
const vcpus = 8;
const signature = parseCpu('EPYC-v4');

/** A bzImage as far as its magic goes. */
const kernel = Buffer.alloc(4096);
kernel.write('HdrS', 0x202);

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'cvm-diagnose-'));
  await mkdir(bundle());
  for (const name of bundleFiles) await writeFile(file(name), `${name}\n`);
  await writeFile(file('OVMF.amdsev.fd'), firmwareImage());
  await writeFile(file('vmlinuz'), kernel);
  const measured = await measureLaunch({
    firmware,
    kernel: file('vmlinuz'),
    initrd: file('initrd.img'),
    cmdline,
    cpu: 'EPYC-v4',
    guestFeatures: 1,
    vcpus: [8, 16],
    memoryGib: 16,
  });
  blobs = measured.blobs;
  const launch = { ...measured.launch, cmdline };
  await writeLaunchScript(bundle(), {
    id: manifest.id,
    kind: 'production',
    launch,
    allowedPorts: [8002],
    userDataWritable: false,
  });
  await writeManifest(bundle(), { ...manifest, launch, files: await describeFiles(bundle()) });
});

afterAll(() => rm(folder, { recursive: true }));

interface Ended {
  status: number;
  stdout: string;
  stderr: string;
}

function run(subject: string, flags: DiagnoseFlags = {}, from = bundle()): Promise<Ended> {
  const program = join(import.meta.dirname, 'program.ts');
  // A cache without firmware of its own.
  const env = { ...process.env, XDG_CACHE_HOME: join(folder, 'cache') };
  return new Promise((resolve) => {
    execFile(
      process.execPath,
      [program, from, subject, JSON.stringify(flags)],
      { env },
      (error, stdout, stderr) => {
        resolve({ status: Number(error?.code ?? 0), stdout, stderr });
      },
    );
  });
}

async function report(name: string, measurement: Buffer, writes: Writes = {}): Promise<string> {
  const path = join(folder, name);
  await writeFile(path, reportBytes({ 8: [0, 0, 3, 0, 0, 0, 0, 0], 144: measurement, ...writes }));
  return path;
}

describe('cvm diagnose', () => {
  it('knows the digest of the bundle as built, in a report, a file and as text: status 0', async () => {
    const digest = launchDigest({ firmware, blobs }, { vcpus, signature });
    const text = join(folder, 'measurement.txt');
    await writeFile(text, `0x${digest.toString('hex')}\n`);
    for (const subject of [await report('own.bin', digest), text, digest.toString('base64')]) {
      const { status, stdout, stderr } = await run(subject);
      expect(stderr).toBe('');
      expect(stdout).toContain(
        `${digest.toString('hex')}\nis the launch digest of this bundle with 8 vCPUs of EPYC-v4\n`,
      );
      expect(status).toBe(0);
    }
  });

  it('shows the report, and that nobody verified its signature', async () => {
    const digest = launchDigest({ firmware, blobs }, { vcpus, signature });
    const { stdout } = await run(await report('shown.bin', digest));
    expect(stdout).toMatch(/^Attestation report \(its signature is not verified here/);
    expect(stdout).toMatch(/^ {2}reported TCB {2,}boot loader 3, TEE 2, SNP 21, microcode 212$/m);
  });

  it('ends with status 1 where the policy is another, though the digest is right', async () => {
    const digest = launchDigest({ firmware, blobs }, { vcpus, signature });
    const debug = await run(await report('debug.bin', digest, { 10: [0x0b] }));
    expect(debug.status).toBe(1);
    expect(debug.stdout).toContain('a key broker refuses it: the policy allows debugging');
    const socket = await run(await report('socket.bin', digest, { 10: [0x13] }));
    expect(socket.status).toBe(1);
  });

  it("finds the report's physical CPU: status 1", async () => {
    const cpu = { 392: [0x19, 0x11, 0x01] };
    const digest = launchDigest({ firmware, blobs }, { vcpus, signature: 0xa10f11 });
    const { status, stdout } = await run(await report('host.bin', digest, cpu));
    expect(stdout).toContain('-cpu host');
    expect(status).toBe(1);
  });

  it('finds an offered firmware, kernel, initrd and command line', async () => {
    const image = firmwareImage();
    image[7] = 1;
    const otherKernel = Buffer.from(kernel);
    otherKernel[0] = 1;
    const other = { ovmf: image, kernel: otherKernel, initrd: Buffer.from('other') };
    for (const [name, bytes] of Object.entries(other)) await writeFile(join(folder, name), bytes);
    const measured = await measureLaunch({
      firmware: parseFirmware(image),
      kernel: join(folder, 'kernel'),
      initrd: join(folder, 'initrd'),
      cmdline,
      cpu: 'EPYC-v4',
      guestFeatures: 1,
      vcpus: [8],
      memoryGib: 16,
    });
    const flags = {
      ovmf: [join(folder, 'ovmf')],
      kernel: [join(folder, 'kernel')],
      initrd: [join(folder, 'initrd')],
      append: ['not this one'],
    };
    const { status, stdout } = await run(measured.launch.digests[0]!.hex, { ...flags, json: true });
    expect(status).toBe(1);
    const { differences } = JSON.parse(stdout);
    expect(differences.map(({ dimension }: { dimension: string }) => dimension)).toEqual([
      'firmware',
      'kernel',
      'initrd',
    ]);
  });

  it('finds what was changed in the folder: initrd and launch_vm.sh', async () => {
    const changed = join(folder, 'changed/cvm_885fe8f608b3');
    await cp(bundle(), changed, { recursive: true });
    const script = await readFile(file('launch_vm.sh'), 'utf8');
    expect(script).toContain(cmdline);
    await writeFile(join(changed, 'launch_vm.sh'), script.replace(cmdline, `${cmdline} rd.shell=1`));
    await writeFile(join(changed, 'initrd.img'), 'evil');
    const { launch } = await measureLaunch({
      firmware,
      kernel: file('vmlinuz'),
      initrd: join(changed, 'initrd.img'),
      cmdline: `${cmdline} rd.shell=1`,
      cpu: 'EPYC-v4',
      guestFeatures: 1,
      vcpus: [8],
      memoryGib: 16,
    });
    const { status, stdout } = await run(launch.digests[0]!.hex, {}, changed);
    expect(stdout).toContain('initrd.img was replaced after the bundle was built');
    expect(stdout).toContain('launch_vm.sh was edited');
    expect(status).toBe(1);
  });

  it('takes damaged firmware in the folder for what it is', async () => {
    const damaged = join(folder, 'damaged/cvm_885fe8f608b3');
    await cp(bundle(), damaged, { recursive: true });
    await writeFile(join(damaged, 'OVMF.amdsev.fd'), 'no firmware');
    const digest = launchDigest({ firmware, blobs }, { vcpus, signature }).toString('hex');
    const { status, stdout } = await run(digest, {}, damaged);
    expect(stdout).toContain('the word of manifest.json alone');
    expect(stdout).toMatch(/cannot read firmware .*its size is 11 bytes/);
    expect(status).toBe(1);
    const offered = await run(digest, { ovmf: [file('OVMF.amdsev.fd')] }, damaged);
    expect(offered.stdout).not.toContain('the word of manifest.json alone');
    expect(offered.status).toBe(0);
  });

  it.each<[string, string, DiagnoseFlags, RegExp]>([
    ['neither digest nor file', 'deadbeef', {}, /cannot read deadbeef: it is neither/],
    ['a folder', '/', {}, /no small regular file/],
    ['a file that is no report', import.meta.filename, {}, /cannot read /],
    ['missing firmware', '00'.repeat(48), { ovmf: ['/no/such.fd'] }, /cannot read firmware \/no\/such\.fd/],
    [
      'a kernel that QEMU does not hash',
      '00'.repeat(48),
      { kernel: [import.meta.filename] },
      /expected "HdrS"/,
    ],
  ])('refuses %s with status 2', async (_name, subject, flags, message) => {
    const { status, stdout, stderr } = await run(subject, flags);
    expect(stderr).toMatch(message);
    expect(stderr).not.toContain('defect of the builder');
    expect(stdout).toBe('');
    expect(status).toBe(2);
  });
});

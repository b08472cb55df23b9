import { execFile } from 'node:child_process';
import { appendFile, mkdir, mkdtemp, readFile, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import {
  commandLine,
  type Manifest,
  packBundle,
  verifyBundle,
  writeManifest,
} from '../../../src/bundle/index.ts';
import { type WorkDirectory, workDirectory } from '../../../src/host/temp.ts';
import { firmwareImage } from '../../unit/measure/firmware-image.ts';
import { copySealedBundle } from '../inspect/sealed-bundle.ts';
import { id, makeMeasuredBundle, recordOf, writeMeasured } from './measured-bundle.ts';

let top: WorkDirectory;
let folder: string;
let script: string;
let manifest: Manifest;

async function edit(piece: string, replacement: string): Promise<void> {
  const text = await readFile(script, 'utf8');
  expect(text.split(piece), piece).toHaveLength(2);
  await writeFile(
    script,
    text.replace(piece, () => replacement),
  );
}

/** What the record says of a file that is not the one it lists. */
const ofRecord = (subject: string) => ({
  subject,
  text: "is not the file of the administrator's record",
});

async function findings(options: Parameters<typeof verifyBundle>[1] = {}) {
  const { checks, whole } = await verifyBundle(folder, options);
  const all = checks.flatMap((check) => check.findings);
  const failures = all.filter(({ severity }) => severity === 'failure');
  expect(whole).toBe(failures.length === 0);
  return { all, failures, subjects: failures.map(({ subject }) => subject) };
}

beforeEach(async () => {
  top = await workDirectory();
  ({ folder, manifest } = await makeMeasuredBundle(top.path));
  script = join(folder, 'launch_vm.sh');
});
afterEach(async () => {
  await top[Symbol.asyncDispose]();
});

test('a bundle as it was built is whole, with and without the record', async () => {
  expect(await findings({ record: recordOf(manifest) })).toEqual({ all: [], failures: [], subjects: [] });
  expect((await findings()).all).toMatchObject([
    { severity: 'not checked', text: expect.stringContaining('--handoff') },
  ]);
});

describe('an edit of launch_vm.sh is named, and nothing else', () => {
  test.each([
    [
      'vCPUs',
      "measured_counts=('2' '4' '8')",
      "measured_counts=('2' '4' '16')",
      '2, 4, 16',
      /nothing was measured for 16/,
    ],
    ['vCPUs', "measured_counts=('2' '4' '8')", 'measured_counts=(8)', '8', /only the choice differs/],
    ['vCPUs', '-smp "$count"', '-smp 3', '3', /nothing was measured for 3/],
    ['CPU model', "cpu='EPYC-v4'", 'cpu=EPYC-Milan', 'EPYC-Milan', /releases no key/],
    ['CPU model', "cpu='EPYC-v4'", 'cpu=EPYC-v3', 'EPYC-v3', /the launch digest stays/],
    ['CPU model', '-cpu "$cpu"', '-cpu host', 'host', /releases no key/],
    ['command line', 'panic=-1', 'panic=0', expect.stringContaining('panic=0'), /releases no key/],
    [
      'command line',
      '-append "$cmdline"',
      '-append "$cmdline init=/bin/sh"',
      expect.stringMatching(/ init=\/bin\/sh$/),
      /releases no key/,
    ],
    ['firmware', '"$here/OVMF.amdsev.fd"', '/usr/share/OVMF.fd', '/usr/share/OVMF.fd', /releases no key/],
    ['kernel', '"$here/vmlinuz"', '"$here/vmlinuz.old"', 'vmlinuz.old', /releases no key/],
    ['initrd', '"$here/initrd.img"', '"$here/initrd.img.old"', 'initrd.img.old', /releases no key/],
    ['policy', "policy='0x30000'", 'policy=0xb0000', '0xb0000', /debug the VM.*releases no key/],
    ['policy', "policy='0x30000'", 'policy=0x20000', '0x20000', /does not cover it/],
    ['kernel hashes', 'kernel-hashes=on', 'kernel-hashes=off', 'off', /releases no key/],
  ])('%s: %s becomes %s', async (subject, piece, replacement, found, consequence) => {
    await edit(piece, replacement);
    const { failures } = await findings({ record: recordOf(manifest) });
    const line =
      (await readFile(script, 'utf8')).split('\n').findIndex((text) => text.includes(replacement)) + 1;
    expect(failures).toMatchObject([
      { subject, file: 'launch_vm.sh', line, found, consequence: expect.stringMatching(consequence) },
      ofRecord('launch_vm.sh'),
    ]);
  });

  test('parameters of the command line are told one by one', async () => {
    await edit('panic=-1 oops=panic', 'panic=0 init=/bin/sh');
    const { failures } = await findings();
    expect(failures).toMatchObject([
      {
        details: ['changed panic=-1 to panic=0', 'removed oops=panic', 'added init=/bin/sh'],
      },
    ]);
  });

  test('what can only be told by running it is not guessed', async () => {
    await edit("cpu='EPYC-v4'", `cpu=$(touch ${top.path}/ran; echo EPYC-v4)`);
    const { failures } = await findings();
    expect(failures).toMatchObject([
      { subject: 'CPU model', text: expect.stringContaining('cannot be read') },
    ]);
    await expect(readFile(join(top.path, 'ran'))).rejects.toThrow('ENOENT');
  });

  test('lines that are not measured are listed', async () => {
    await edit('vmport=off', 'vmport=on');
    await edit("memory='4G'", "memory='64G'");
    const { failures } = await findings();
    expect(failures).toMatchObject([
      {
        subject: 'other lines of launch_vm.sh',
        consequence: 'the launch digest does not cover these lines',
        details: expect.arrayContaining(["line 13: memory='64G'", "in place of: memory='4G'"]),
      },
    ]);
    expect(failures[0]?.details).toHaveLength(4);
  });

  test('another way of writing the same is no other value, yet another file', async () => {
    await edit("cpu='EPYC-v4'", '# the CPU model\ncpu="EPYC-v4"');
    const { failures } = await findings();
    expect(failures).toMatchObject([
      { subject: 'launch_vm.sh', text: expect.stringContaining('is as measured') },
    ]);
  });

  test('a script that no shell would read is one finding', async () => {
    await edit("cpu='EPYC-v4'", '`');
    expect((await findings()).failures).toMatchObject([
      { subject: 'launch_vm.sh', text: expect.stringContaining('cannot be read') },
    ]);
  });

  test('of a bundle by another version, the values are compared and the rest is not', async () => {
    await writeManifest(folder, { ...manifest, builder_version: '0.0.1' });
    await edit('vmport=off', 'vmport=on');
    await edit("cpu='EPYC-v4'", 'cpu=EPYC-Milan');
    const { subjects, all } = await findings();
    expect(subjects).toEqual(['CPU model']);
    expect(all.map(({ text }) => text)).toContainEqual(expect.stringContaining('by version 0.0.1'));
  });
});

describe('a changed file is named', () => {
  test.each([
    ['vmlinuz', 'the kernel changed'],
    ['initrd.img', 'the initrd changed'],
  ])('%s', async (name, cause) => {
    await appendFile(join(folder, name), 'x');
    const { failures } = await findings({ record: recordOf(manifest) });
    expect(failures.map(({ subject }) => subject)).toEqual([name, 'launch digests', name]);
    expect(failures[2]).toMatchObject(ofRecord(name));
    expect(failures[1]).toMatchObject({
      text: expect.stringMatching(new RegExp(`2, 4, 8 vCPUs: ${cause}$`)),
    });
    expect(failures[1]?.expected).toBe(manifest.launch.digests[0]!.hex);
  });

  test.each([
    ['whole', Buffer.concat([Buffer.from('x'), firmwareImage().subarray(1)])],
    ['broken', Buffer.from('no firmware')],
  ])('OVMF.amdsev.fd, %s', async (_, bytes) => {
    await writeFile(join(folder, 'OVMF.amdsev.fd'), bytes);
    const { failures, subjects } = await findings();
    expect(subjects).toEqual(['OVMF.amdsev.fd', 'launch digests']);
    expect(failures[1]).toMatchObject({ text: expect.stringMatching(/the firmware changed$/) });
  });

  test.each(['README.txt', 'user_config.qcow2'])('%s', async (name) => {
    await appendFile(join(folder, name), 'x');
    expect((await findings()).subjects).toEqual([name]);
  });

  test.each([
    'crypt_root.qcow2',
    'applog.qcow2',
    'user_data.qcow2',
  ])('%s is written to in use: a note', async (name) => {
    await appendFile(join(folder, name), 'x');
    const { all } = await findings({ record: recordOf(manifest) });
    expect(all).toMatchObject([{ subject: name, severity: 'note' }]);
  });

  test.each([
    'initrd.img',
    'applog.qcow2',
    'launch_vm.sh',
  ])('%s as a symbolic link is not followed', async (name) => {
    await rename(join(folder, name), join(top.path, name));
    await symlink(join(top.path, name), join(folder, name));
    const { failures } = await findings();
    expect(failures[0]).toMatchObject({ subject: name, text: 'is not a regular file' });
  });

  test('a FIFO is not waited for, a missing file is missing', async () => {
    await rm(join(folder, 'applog.qcow2'));
    await rm(join(folder, 'vmlinuz'));
    await promisify(execFile)('mkfifo', [join(folder, 'applog.qcow2')]);
    const { failures } = await findings();
    expect(failures.slice(0, 2).map(({ subject, text }) => `${subject} ${text}`)).toEqual([
      'applog.qcow2 is not a regular file',
      'vmlinuz is missing',
    ]);
  });
});

describe('a rewritten manifest', () => {
  test('with digests that nothing measures to was edited', async () => {
    const launch = { ...manifest.launch, cmdline: `${manifest.launch.cmdline} init=/bin/sh` };
    await writeManifest(folder, { ...manifest, launch });
    const { failures } = await findings();
    expect(failures.map(({ subject }) => subject)).toEqual(
      ['launch digests', 'command line', 'other lines of launch_vm.sh', 'measured command line'].filter(
        (subject) => subject !== 'other lines of launch_vm.sh',
      ),
    );
    expect(failures[0]).toMatchObject({ text: expect.stringContaining('manifest.json itself was edited') });
  });

  test('that matches an edited script is caught by the record alone', async () => {
    await writeMeasured(folder, { cpu: 'EPYC-Milan' });
    expect((await findings()).failures).toEqual([]);
    const { failures } = await findings({ record: recordOf(manifest) });
    expect(failures).toMatchObject([
      { subject: 'CPU model', expected: 'EPYC-v4', found: 'EPYC-Milan' },
      { subject: 'launch digests', expected: manifest.launch.digests[0]!.hex },
      ofRecord('launch_vm.sh'),
    ]);
  });

  test('that matches another initrd is caught by the record alone', async () => {
    await appendFile(join(folder, 'initrd.img'), 'x');
    await writeMeasured(folder, {});
    expect((await findings()).failures).toEqual([]);
    expect((await findings({ record: recordOf(manifest) })).failures).toMatchObject([
      {
        subject: 'launch digests',
        text: expect.stringContaining('kernel, initrd or command line were replaced'),
      },
      ofRecord('initrd.img'),
    ]);
  });

  test('that matches another command line is caught by what this builder measures', async () => {
    await writeMeasured(folder, { cmdline: `${commandLine(id)} init=/bin/sh` });
    expect((await findings()).failures).toMatchObject([
      { subject: 'measured command line', details: ['added init=/bin/sh'] },
    ]);
  });

  test('of another image is told by its id', async () => {
    const other = join(top.path, 'cvm_000000000000');
    await rename(folder, other);
    folder = other;
    expect((await findings()).subjects).toEqual(['id']);
  });
});

test('further checks come last and count', async () => {
  const subject = 'LUKS header';
  const check = { name: 'seal', run: () => [{ subject, severity: 'failure' as const, text: 'is another' }] };
  const { checks, whole } = await verifyBundle(folder, { checks: [check] });
  expect(whole).toBe(false);
  expect(checks.at(-1)).toMatchObject({ name: 'seal', findings: [{ subject }] });
});

describe('the command', () => {
  const module = new URL('../../../src/cli/verify.ts', import.meta.url).href;

  let once: string;
  beforeAll(async () => {
    once = await mkdtemp(join(tmpdir(), 'verify-command-'));
  });
  afterAll(() => rm(once, { recursive: true }));
  // The command looks inside as well: what is there must be real.
  beforeEach(async () => {
    await rm(folder, { recursive: true });
    ({ folder, manifest } = await copySealedBundle(top.path, once));
  });

  /** Runs `verifyCommand` in a process of its own; an error of its own is printed as its message. */
  async function command(bundle: string, flags: { handoff?: string; json?: boolean; key?: string } = {}) {
    const source = `import { verifyCommand } from ${JSON.stringify(module)};
      await verifyCommand(process.argv[1], JSON.parse(process.argv[2])).catch((error) => {
        process.stderr.write(error.message);
        process.exitCode = error.status ?? 70;
      });`;
    const args = [
      '--input-type=module',
      '-e',
      source,
      bundle,
      JSON.stringify({ directory: top.path, ...flags }),
    ];
    return await promisify(execFile)(process.execPath, args).then(
      ({ stdout, stderr }) => ({ status: 0, stdout, stderr }),
      ({ code, stdout, stderr }) => ({
        status: code as number,
        stdout: stdout as string,
        stderr: stderr as string,
      }),
    );
  }

  test('says ok for each check of an archive and ends with the verdict', async () => {
    const archive = join(top.path, 'site-1.tgz');
    await packBundle({ folder, name: 'site-1', out: archive });
    const { status, stdout, stderr } = await command(archive);
    expect([status, stderr]).toEqual([0, '']);
    expect(stdout.match(/^ok {11}/gm)).toHaveLength(9);
    expect(stdout.match(/^not checked {2}.*$/gm)).toEqual(
      ['hand-off record', 'sealed payload', 'startup kit', 'policy entry'].map(
        (name) => `not checked  ${name}`,
      ),
    );
    expect(stdout).toMatch(
      /\nThe bundle is whole by its own manifest\.json\. Not checked: sealed payload, startup kit, policy entry\.\n$/,
    );
  });

  test('names what changed in an archive, with expected and found', async () => {
    await edit("cpu='EPYC-v4'", 'cpu=EPYC-Milan');
    const archive = join(top.path, 'site-1.tgz');
    await packBundle({ folder, name: 'site-1', out: archive });
    const { status, stdout } = await command(archive);
    expect(status).toBe(1);
    expect(stdout).toContain('changed      launch_vm.sh     CPU model\n');
    expect(stdout).toContain(
      'CPU model (launch_vm.sh, line 9) is not as measured\n  expected  EPYC-v4\n  found     EPYC-Milan\n',
    );
    expect(stdout).toMatch(
      /\nThe bundle is not whole: CPU model\. Not checked: sealed payload, startup kit, policy entry\.\n$/,
    );
  });

  test('compares with the hand-off, and refuses a folder that is none', async () => {
    const handoff = join(top.path, 'handoff');
    await mkdir(handoff);
    expect(await command(folder, { handoff })).toMatchObject({
      status: 2,
      stderr: expect.stringContaining('record.json'),
    });
    await writeFile(join(handoff, 'record.json'), '{"id": 1}');
    expect(await command(folder, { handoff })).toMatchObject({
      status: 2,
      stderr: expect.stringContaining('no record'),
    });
    await writeFile(join(handoff, 'record.json'), JSON.stringify(recordOf(manifest)));
    const whole = await command(folder, { handoff });
    expect(whole).toMatchObject({
      status: 0,
      stdout: expect.stringMatching(
        /\nThe bundle is whole\. Not checked: sealed payload, startup kit, policy entry\.\n$/,
      ),
    });
    expect(whole.stdout).not.toMatch(/^not checked +hand-off record/m);
    await writeMeasured(folder, { cpu: 'EPYC-Milan' });
    const { status, stdout } = await command(folder, { handoff });
    expect(status).toBe(1);
    expect(stdout).toContain('changed      hand-off record  CPU model, launch digests, launch_vm.sh');
  });

  test('prints nothing of a bundle that could drive a terminal', async () => {
    await edit("cpu='EPYC-v4'", "cpu='\u001b]0;x\u0007\u202e\u009b31m'");
    for (const json of [false, true]) {
      const { status, stdout } = await command(folder, { json });
      expect(status).toBe(1);
      expect(stdout).not.toMatch(/[^\P{Cc}\n]|\p{Cf}/u);
    }
  });

  test('writes JSON', async () => {
    await edit('kernel-hashes=on', 'kernel-hashes=off');
    const { stdout } = await command(folder, { json: true });
    const report = JSON.parse(stdout);
    expect(report).toMatchObject({ id, whole: false });
    expect(report.checks.filter(({ state }: { state: string }) => state === 'changed')).toMatchObject([
      { name: 'launch_vm.sh', findings: [{ subject: 'kernel hashes', expected: 'on', found: 'off' }] },
    ]);
  });

  test('opens no bundle with a symbolic link in it', async () => {
    await rm(script);
    await symlink('/etc/passwd', script);
    expect(await command(folder)).toMatchObject({
      status: 1,
      stderr: expect.stringContaining('launch_vm.sh is not a regular file'),
    });
  });
});

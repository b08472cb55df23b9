import { copyFile, mkdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { execa } from 'execa';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { launchScript } from '../../../src/bundle/index.ts';
import { type WorkDirectory, workDirectory } from '../../../src/host/temp.ts';
import { id, launchInput, makeBundle } from '../../unit/bundle/fixture.ts';

let top: WorkDirectory;
let folder: string;
let script: string;
beforeEach(async () => {
  top = await workDirectory();
  folder = await makeBundle(join(top.path, 'a folder, with a comma'));
  script = join(folder, 'launch_vm.sh');
  await program(
    'cpuid',
    'echo "   0x8000001f 0x00: eax=0x0101fd3f ebx=0x00004173 ecx=0x000003ee edx=0x00000080"',
  );
});
afterEach(async () => {
  await top[Symbol.asyncDispose]();
});

async function program(name: string, body: string): Promise<void> {
  await mkdir(join(top.path, 'bin'), { recursive: true });
  await writeFile(join(top.path, 'bin', name), `#!/bin/bash\n${body}\n`, { mode: 0o755 });
}

/** A stand-in that writes its arguments, one a line, to the file `argv`. */
async function standInQemu(version = '9.1.0', more = ''): Promise<void> {
  await program(
    'qemu-system-x86_64',
    `case $1 in
      --version) echo "QEMU emulator version ${version} (Debian)"; exit ;;
      -object) [ "$2" != help ] || { echo '  sev-snp-guest'; exit; } ;;
    esac
    printf '%s\\n' "$@" > '${top.path}/argv'
    ${more}`,
  );
}

async function launch(args: string[], options: { cwd?: string; file?: string } = {}) {
  const PATH = `${top.path}/bin:/usr/bin:/bin`;
  const ran = await execa(options.file ?? script, args, {
    cwd: options.cwd ?? '/',
    env: { PATH },
    extendEnv: false,
    reject: false,
  });
  return { status: ran.exitCode, stdout: ran.stdout, stderr: ran.stderr };
}

async function dryRun(...args: string[]): Promise<string[]> {
  const { status, stdout, stderr } = await launch([...args, '--dry-run']);
  expect(stderr).toBe('');
  expect(status).toBe(0);
  const { stdout: words } = await execa('bash', ['-c', `printf '%s\\n' ${stdout}`]);
  return words.split('\n');
}

const after = (words: string[], name: string) =>
  words.flatMap((word, at) => (word === name ? [words[at + 1]!] : []));

test('shellcheck has nothing to say about the template and a filled script', async () => {
  await execa('shellcheck', [script]);
  await execa('shellcheck', [new URL('../../../templates/launch_vm.sh', import.meta.url).pathname]);
});

test('the whole QEMU line is as measured', async () => {
  const here = folder.replaceAll(',', ',,');
  const drive = (file: string, serial: string, readonly: string) => [
    '-drive',
    `file=${here}/${file},if=none,id=${serial},format=qcow2,readonly=${readonly}`,
    '-device',
    `virtio-blk-pci,drive=${serial},serial=${serial},disable-legacy=on,iommu_platform=on`,
  ];
  expect(await dryRun()).toEqual([
    'qemu-system-x86_64',
    ...['-name', `cvm_${id}`, '-nodefaults', '-no-user-config', '-no-reboot', '-display', 'none'],
    ...['-accel', 'kvm', '-machine', 'q35,confidential-guest-support=sev0,memory-backend=ram0,vmport=off'],
    ...['-cpu', 'EPYC-v4', '-smp', '4', '-m', '16G'],
    ...['-object', 'memory-backend-memfd,id=ram0,size=16G,share=on,prealloc=off'],
    ...['-object', 'sev-snp-guest,id=sev0,policy=0x30000,cbitpos=51,reduced-phys-bits=1,kernel-hashes=on'],
    ...[
      '-bios',
      `${folder}/OVMF.amdsev.fd`,
      '-kernel',
      `${folder}/vmlinuz`,
      '-initrd',
      `${folder}/initrd.img`,
    ],
    ...['-append', launchInput.launch.cmdline],
    ...drive('crypt_root.qcow2', 'rootfs', 'off'),
    ...drive('applog.qcow2', 'applog', 'off'),
    ...drive('user_config.qcow2', 'user_config', 'on'),
    ...drive('user_data.qcow2', 'user_data', 'on'),
    ...['-netdev', 'user,id=net0,hostfwd=tcp::8002-:8002,hostfwd=tcp::8003-:8003'],
    ...['-device', 'virtio-net-pci,netdev=net0,romfile=,disable-legacy=on,iommu_platform=on'],
    ...[
      '-chardev',
      'stdio,id=console,mux=on,signal=off',
      '-serial',
      'chardev:console',
      '-mon',
      'chardev=console',
    ],
  ]);
});

test('QEMU is started with the printed line, from any folder and through links', async () => {
  await standInQemu();
  const [, ...expected] = await dryRun();
  const link = join(top.path, 'link.sh');
  await symlink(script, link);
  for (const options of [{}, { cwd: folder, file: './launch_vm.sh' }, { cwd: top.path, file: './link.sh' }]) {
    await rm(join(top.path, 'argv'), { force: true });
    expect(await launch(['--no-checks'], options)).toMatchObject({ status: 0 });
    expect((await readFile(join(top.path, 'argv'), 'utf8')).trimEnd().split('\n')).toEqual(expected);
  }
});

test('hostile values stay values', async () => {
  const cmdline = `vm_id='"$(touch ${top.path}/ran)\`touch ${top.path}/ran\` \\ @ID@`;
  const evil = { ...launchInput, launch: { ...launchInput.launch, cmdline } };
  await writeFile(script, await launchScript(evil));
  expect(after(await dryRun(), '-append')).toEqual([cmdline]);
  await expect(readFile(join(top.path, 'ran'))).rejects.toThrow(/ENOENT/);
});

test('only measured vCPU counts are taken', async () => {
  expect(after(await dryRun('-c', '8'), '-smp')).toEqual(['8']);
  for (const count of ['2', '4 8', '4,maxcpus=8', '', '08']) {
    const { status, stderr } = await launch(['-c', count, '--dry-run']);
    expect(status, count).toBe(2);
    expect(stderr).toMatch(/hint: measured counts: 4 8|-c needs a value/);
  }
});

test('memory, network, log and a writable user_data drive can be chosen', async () => {
  const bridged = await dryRun('-m', '8192M', '--net', 'bridge:br0', '--log', '/tmp/a,b.log');
  expect(after(bridged, '-m')).toEqual(['8192M']);
  expect(after(bridged, '-object')[0]).toContain('size=8192M');
  expect(after(bridged, '-netdev')).toEqual(['bridge,id=net0,br=br0']);
  expect(after(bridged, '-chardev')).toEqual(['stdio,id=console,mux=on,signal=off,logfile=/tmp/a,,b.log']);
  expect(await dryRun('--net', 'none')).not.toContain('-netdev');
  await writeFile(script, await launchScript({ ...launchInput, userDataWritable: true, allowedPorts: [] }));
  const writable = await dryRun();
  expect(after(writable, '-drive').filter((value) => value.endsWith('readonly=on'))).toEqual([
    expect.stringContaining('id=user_config'),
  ]);
  expect(after(writable, '-netdev')).toEqual(['user,id=net0']);
});

test('a GPU is passed through by its address', async () => {
  for (const address of ['41:00.0', '0000:41:00.0']) {
    expect(after(await dryRun('--gpu', address), '-device')).toContain('vfio-pci,host=0000:41:00.0,bus=gpu0');
  }
  expect((await dryRun('--gpu', 'none')).join()).not.toContain('vfio');
});

test.each([
  [['--memory', '8G'], /no option --memory/],
  [['-m', '8'], /memory of 8/],
  [['-m', '8G,share=off'], /memory of/],
  [['--gpu', '0000:41:00.0,rombar=1'], /no PCI address/],
  [['--net', 'tap'], /no network mode tap/],
  [['--log'], /--log needs a value/],
])('%j is refused', async (args, message) => {
  const { status, stderr } = await launch([...args, '--dry-run']);
  expect(status).toBe(2);
  expect(stderr).toMatch(message);
});

test('--help names every option and the measured counts', async () => {
  const { status, stdout } = await launch(['--help']);
  expect(status).toBe(0);
  for (const option of ['-c N', '-m SIZE', '--net', '--gpu', '--log', '--dry-run', '--no-checks', '4 8']) {
    expect(stdout).toContain(option);
  }
});

test('a development bundle is not started', async () => {
  await standInQemu();
  await writeFile(script, await launchScript({ ...launchInput, kind: 'development' }));
  for (const args of [[], ['--no-checks'], ['--dry-run']]) {
    expect(await launch(args)).toMatchObject({
      status: 2,
      stdout: '',
      stderr: 'launch_vm.sh: this is a development bundle: boot it with `cvm boot`',
    });
  }
  await expect(readFile(join(top.path, 'argv'))).rejects.toThrow(/ENOENT/);
});

test('a missing file is named before QEMU starts', async () => {
  await standInQemu();
  await rm(join(folder, 'initrd.img'));
  expect(await launch(['--no-checks'])).toMatchObject({
    status: 1,
    stderr: expect.stringContaining('initrd.img is missing'),
  });
});

test.each([
  ['9.0.4', /version 9\.0; SEV-SNP needs 9\.1/],
  ['7.2.22', /version 7\.2; SEV-SNP needs 9\.1/],
])('QEMU %s is refused', async (version, message) => {
  await standInQemu(version);
  expect(await launch([])).toMatchObject({ status: 1, stderr: expect.stringMatching(message) });
});

test.each([
  '9.1.0',
  '10.0.13',
  '11.1.3',
])('QEMU %s passes, then the machine is looked at', async (version) => {
  await standInQemu(version);
  expect(await launch([])).toMatchObject({
    status: 1,
    stderr: expect.stringContaining('SEV-SNP is not enabled'),
  });
});

test('the encryption bit comes from the CPUID leaf, and 51 is assumed with a warning', async () => {
  await program(
    'cpuid',
    'echo "   0x8000001f 0x00: eax=0x0101fd3f ebx=0x0000416f ecx=0x000003ee edx=0x00000080"',
  );
  expect(after(await dryRun(), '-object')[1]).toContain('cbitpos=47');
  await program(
    'cpuid',
    'echo "   0x8000001f 0x00: eax=0x00000000 ebx=0x00000000 ecx=0x00000000 edx=0x00000000"',
  );
  const { stdout, stderr } = await launch(['--dry-run']);
  expect(stdout).toContain('cbitpos=51');
  expect(stderr).toContain('taking 51');
});

test('a second start while the VM runs is refused', async () => {
  await mkdir(join(top.path, 'fifo.d'));
  const [ready, go] = [join(top.path, 'ready'), join(top.path, 'go')];
  await execa('mkfifo', [ready, go]);
  await standInQemu('9.1.0', `echo up > '${ready}'; read -r _ < '${go}'`);
  const first = launch(['--no-checks']);
  await readFile(ready);
  expect(await launch(['--no-checks'])).toMatchObject({
    status: 1,
    stderr: expect.stringContaining('running already'),
  });
  await writeFile(go, '\n');
  expect(await first).toMatchObject({ status: 0 });
  await standInQemu();
  expect(await launch(['--no-checks'])).toMatchObject({ status: 0 });
});

test('a copy of the bundle elsewhere starts its own files', async () => {
  const copy = join(top.path, 'copy');
  await mkdir(copy);
  for (const name of [
    'OVMF.amdsev.fd',
    'vmlinuz',
    'initrd.img',
    'crypt_root.qcow2',
    'applog.qcow2',
    'user_config.qcow2',
    'user_data.qcow2',
    'launch_vm.sh',
  ]) {
    await copyFile(join(folder, name), join(copy, name));
  }
  expect((await launch(['--dry-run'], { file: join(copy, 'launch_vm.sh') })).stdout).toContain(
    `-kernel ${copy}/vmlinuz`,
  );
});

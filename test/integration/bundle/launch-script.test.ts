import { copyFile, mkdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { execa } from 'execa';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { launchScript } from '../../../src/bundle/index.ts';
import { shellcheck } from '../../report/shell-scripts.ts';
import { id, launchInput } from '../../unit/bundle/fixture.ts';
import { after, type LaunchBench, launchBench } from './launch-script-bench.ts';

let bench: LaunchBench;
let script: string;
beforeEach(async () => {
  bench = await launchBench();
  script = bench.script;
});
afterEach(async () => {
  await bench[Symbol.asyncDispose]();
});

const { dryRun, launch } = {
  dryRun: (...args: string[]) => bench.dryRun(...args),
  launch: (...args: Parameters<LaunchBench['launch']>) => bench.launch(...args),
};

test('shellcheck has nothing to say about the template and a filled script', async () => {
  await execa('shellcheck', [script]);
  expect(shellcheck('templates/launch_vm.sh')).toBe('');
  for (const part of ['options', 'development', 'host', 'gpu', 'command']) {
    expect(shellcheck(`templates/launch_vm/${part}.sh`)).toBe('');
  }
});

test('the script is whole: it reads no file beside it', async () => {
  expect(await readFile(script, 'utf8')).not.toMatch(/^\s*(?:\.|source) |shellcheck/m);
});

test('the whole QEMU line is as measured', async () => {
  const { folder } = bench;
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
  const { folder, top } = bench;
  await bench.standInQemu();
  const [, ...expected] = await dryRun();
  await symlink(script, join(top, 'link.sh'));
  for (const options of [{}, { cwd: folder, file: './launch_vm.sh' }, { cwd: top, file: './link.sh' }]) {
    expect(await launch(['--no-checks'], options)).toMatchObject({ status: 0 });
    expect(await bench.started()).toEqual(expected);
  }
});

test('hostile values stay values', async () => {
  const cmdline = `vm_id='"$(touch ${bench.top}/ran)\`touch ${bench.top}/ran\` \\ @ID@`;
  const evil = { ...launchInput, launch: { ...launchInput.launch, cmdline } };
  await writeFile(script, await launchScript(evil));
  expect(after(await dryRun(), '-append')).toEqual([cmdline]);
  await expect(readFile(join(bench.top, 'ran'))).rejects.toThrow(/ENOENT/);
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

test.each([
  [['--memory', '8G'], /no option --memory/],
  [['-m', '8'], /memory of 8/],
  [['-m', '8G,share=off'], /memory of/],
  [['-m', '08G'], /memory of 08G/],
  [['--net', 'tap'], /no network mode tap/],
  [['--net', 'bridge:'], /no network mode bridge:/],
  [['--net', 'bridge:br0,helper=/bin/sh x'], /no name of a bridge/],
  [['--log'], /--log needs a value/],
  [['--dev'], /this is no development bundle/],
])('%j is refused', async (args, message) => {
  const { status, stderr } = await launch([...args, '--dry-run']);
  expect(status).toBe(2);
  expect(stderr).toMatch(message);
});

test('--help names every option and the measured counts', async () => {
  const { status, stdout } = await launch(['--help']);
  expect(status).toBe(0);
  const source = await readFile(script, 'utf8');
  const options = [...source.matchAll(/^ {4}(-[^"']*?)\)/gm)].flatMap(([, names]) => names!.split(' | '));
  expect(options.length).toBeGreaterThan(8);
  for (const option of options.filter((one) => one !== '-h')) expect(stdout).toContain(`  ${option} `);
  expect(stdout).toContain('4 8');
  expect(stdout).toContain('8002 8003');
  for (const line of stdout.split('\n')) expect(line.length, line).toBeLessThan(85);
});

describe('ports', () => {
  const forwards = async (...args: string[]) =>
    after(await dryRun(...args), '-netdev')[0]!
      .split(',hostfwd=tcp::')
      .slice(1);

  test('lead to the VM from another port where --forward says so, and only from there', async () => {
    expect(await forwards()).toEqual(['8002-:8002', '8003-:8003']);
    expect(await forwards('--forward', '18002:8002')).toEqual(['18002-:8002', '8003-:8003']);
    expect(await forwards('--forward', '8003:8002', '--forward', '8002:8003')).toEqual([
      '8003-:8002',
      '8002-:8003',
    ]);
    expect(await forwards('--forward', '1:8002', '--forward', '65535:8002')).toEqual([
      '1-:8002',
      '65535-:8002',
      '8003-:8003',
    ]);
  });

  test.each([
    [['22:22'], /lets nothing in at port 22\nhint: .*8002 8003$/],
    [['8002'], /no pair of ports/],
    [['8002:8002:8002'], /no pair of ports/],
    [['0:8002'], /no pair of ports/],
    [['65536:8002'], /no pair of ports/],
    [['18002:8002,hostfwd=tcp::22-:22'], /no pair of ports/],
    [['127.0.0.1:18002:8002'], /no pair of ports/],
    [['8003:8002'], /port 8003 of this host is to lead to more than one place/],
    [['18002:8002', '18002:8003'], /port 18002 of this host is to lead to more than one place/],
    [['18002:8002', '18002:8002'], /port 18002 of this host is to lead to more than one place/],
  ])('--forward %j is refused', async (given, message) => {
    const args = given.flatMap((one) => ['--forward', one]);
    expect(await launch([...args, '--dry-run'])).toMatchObject({
      status: 2,
      stdout: '',
      stderr: expect.stringMatching(message),
    });
  });

  test.each(['none', 'bridge:br0'])('--forward with --net %s is refused', async (net) => {
    expect(await launch(['--net', net, '--forward', '18002:8002', '--dry-run'])).toMatchObject({
      status: 2,
      stderr: expect.stringMatching(/--forward does nothing/),
    });
  });

  test('none leads to a VM that lets nothing in', async () => {
    await writeFile(script, await launchScript({ ...launchInput, allowedPorts: [] }));
    expect(await forwards()).toEqual([]);
    expect(await launch(['--forward', '1:1', '--dry-run'])).toMatchObject({
      status: 2,
      stderr: expect.stringMatching(/hint: ports that were allowed when it was built: none$/),
    });
  });
});

describe('a development bundle', () => {
  beforeEach(async () => {
    await writeFile(script, await launchScript({ ...launchInput, kind: 'development' }));
    await bench.program('cvm', `printf '%s\\n' "$@" > '${bench.top}/argv'`);
    await bench.standInQemu();
  });

  test('is not started by itself', async () => {
    for (const args of [[], ['--no-checks'], ['--dry-run']]) {
      expect(await launch(args)).toMatchObject({
        status: 2,
        stdout: '',
        stderr: expect.stringMatching(
          /^launch_vm\.sh: cannot .*this is a development bundle.*\nhint: --dev .*cvm boot$/,
        ),
      });
    }
    expect(await bench.started()).toBeUndefined();
  });

  const forward = ['--forward', '8002:8002', '8003:8003'];
  test.each([
    [[], forward],
    [
      ['-c', '8', '-m', '4G'],
      ['--vcpus', '8', '--memory', '4', ...forward],
    ],
    [
      ['-m', '2048M', '--forward', '18003:8003'],
      ['--memory', '2', '--forward', '18003:8003', '8002:8002'],
    ],
  ])('with --dev %j is booted by the builder', async (args, expected) => {
    expect(await launch(['--dev', ...args])).toEqual({ status: 0, stdout: '', stderr: '' });
    expect(await bench.started()).toEqual(['boot', bench.folder, ...expected]);
    expect((await dryRun('--dev', ...args)).slice(1)).toEqual(['boot', bench.folder, ...expected]);
    expect(await bench.started()).toBeUndefined();
  });

  test.each([
    [['-c', '3'], /3 vCPUs were not measured/],
    [['-m', '1500M'], /memory of 1500M\nhint: .*whole GiB/],
    [['--gpu', 'auto'], /--gpu is not for a development bundle/],
    [['--net', 'none'], /--net is not for a development bundle/],
    [['--log', 'x'], /--log is not for a development bundle/],
    [['--no-checks'], /--no-checks is not for a development bundle/],
  ])('refuses --dev %j', async (args, message) => {
    expect(await launch(['--dev', ...args])).toMatchObject({
      status: 2,
      stderr: expect.stringMatching(message),
    });
    expect(await bench.started()).toBeUndefined();
  });

  test('needs the builder, which CVM=PATH names', async () => {
    await rm(join(bench.top, 'bin/cvm'));
    expect(await launch(['--dev'])).toMatchObject({
      status: 1,
      stderr: expect.stringMatching(/cvm is not installed\nhint: CVM=PATH/),
    });
    await bench.program('other', `printf '%s\\n' "$@" > '${bench.top}/argv'`);
    const env = { CVM: join(bench.top, 'bin/other') };
    expect(await launch(['--dev'], { env })).toMatchObject({ status: 0 });
    expect((await bench.started())?.[0]).toBe('boot');
  });
});

test('a missing file is named before QEMU starts', async () => {
  await bench.standInQemu();
  await rm(join(bench.folder, 'initrd.img'));
  expect(await launch(['--no-checks'])).toMatchObject({
    status: 1,
    stderr: expect.stringContaining('initrd.img is missing'),
  });
});

test('the encryption bit comes from the CPUID leaf, and 51 is assumed with a warning', async () => {
  await bench.program(
    'cpuid',
    'echo "   0x8000001f 0x00: eax=0x0101fd3f ebx=0x0000416f ecx=0x000003ee edx=0x00000080"',
  );
  expect(after(await dryRun(), '-object')[1]).toContain('cbitpos=47');
  await bench.program(
    'cpuid',
    'echo "   0x8000001f 0x00: eax=0x00000000 ebx=0x00000000 ecx=0x00000000 edx=0x00000000"',
  );
  const { stdout, stderr } = await launch(['--dry-run']);
  expect(stdout).toContain('cbitpos=51');
  expect(stderr).toContain('taking 51');
});

test('a second start while the VM runs is refused', async () => {
  await mkdir(join(bench.top, 'fifo.d'));
  const [ready, go] = [join(bench.top, 'ready'), join(bench.top, 'go')];
  await execa('mkfifo', [ready, go]);
  await bench.standInQemu('9.2.0', [], `echo up > '${ready}'; read -r _ < '${go}'`);
  const first = launch(['--no-checks']);
  await readFile(ready);
  expect(await launch(['--no-checks'])).toMatchObject({
    status: 1,
    stderr: expect.stringContaining('running already'),
  });
  await writeFile(go, '\n');
  expect(await first).toMatchObject({ status: 0 });
  await bench.standInQemu();
  expect(await launch(['--no-checks'])).toMatchObject({ status: 0 });
});

test('a copy of the bundle elsewhere starts its own files', async () => {
  const copy = join(bench.top, 'copy');
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
    await copyFile(join(bench.folder, name), join(copy, name));
  }
  expect((await launch(['--dry-run'], { file: join(copy, 'launch_vm.sh') })).stdout).toContain(
    `-kernel ${copy}/vmlinuz`,
  );
});

describe('the QEMU of this machine', () => {
  /** The line without what needs KVM, SEV-SNP or a GPU; it stops before the first instruction. */
  function withoutHardware(words: string[]): string[] {
    const line: string[] = [];
    for (let at = 1; at < words.length; at += 1) {
      const word = words[at]!;
      if (/^(?:sev-snp-guest|iommufd),/.test(word)) line.pop();
      else if (word === 'kvm') line.push('tcg');
      else if (word === 'EPYC-v4') line.push('max');
      else
        line.push(
          word
            .replace('confidential-guest-support=sev0,', '')
            .replace(/^vfio-pci,host=[^,]*/, 'virtio-rng-pci'),
        );
    }
    return [...line, '-S'];
  }

  test.each([
    ['user networking', ['--log', 'LOG']],
    ['no network, two GPUs', ['--net', 'none', '--gpu', '0000:41:00.0,0000:c1:00.0']],
  ])('takes the line, with %s', async (_, args) => {
    await bench.makeReady();
    await writeFile(script, await launchScript({ ...launchInput, allowedPorts: [] }));
    const kernel = Buffer.alloc(65_536);
    kernel.write('HdrS', 0x202, 'latin1');
    kernel.writeUInt16LE(0x20c, 0x206);
    kernel.writeUInt32LE(0x7fff_ffff, 0x22c);
    await writeFile(join(bench.folder, 'vmlinuz'), kernel);
    await writeFile(join(bench.folder, 'OVMF.amdsev.fd'), Buffer.alloc(65_536));
    const log = join(bench.top, 'console, of the VM');
    const words = await dryRun('-m', '256M', ...args.map((one) => (one === 'LOG' ? log : one)));
    // Ctrl-A C leads from the console to the monitor.
    const { stdout, stderr } = await execa('qemu-system-x86_64', withoutHardware(words), {
      input: '\u0001cinfo block\ninfo pci\nquit\n',
      timeout: 60_000,
    });
    expect(stderr).toBe('');
    for (const serial of ['rootfs', 'applog', 'user_config', 'user_data'])
      expect(stdout).toContain(`${serial} (#block`);
    expect(stdout).toContain(`${bench.folder}/user_config.qcow2 (qcow2, read-only)`);
    if (args.includes('--gpu')) expect(stdout).toContain('id "gpu1"');
    else expect(await readFile(log, 'utf8')).toContain('rootfs (#block');
  });

  test('takes the width of addresses for the CPU model', async () => {
    const [option] = after(await dryRun('-m', '2000G'), '-global');
    expect(option).toBe('EPYC-v4-x86_64-cpu.phys-bits=42');
    const property = option!.replace('EPYC-v4', 'EPYC-v3');
    const args = ['-machine', 'q35,accel=tcg', '-cpu', 'EPYC-v3', '-nodefaults', '-display', 'none', '-S'];
    const of = { path: '/machine/unattached/device[0]', property: 'phys-bits' };
    const commands = [
      { execute: 'qmp_capabilities' },
      { execute: 'qom-get', arguments: of },
      { execute: 'quit' },
    ];
    const { stdout } = await execa('qemu-system-x86_64', [...args, '-qmp', 'stdio', '-global', property], {
      input: commands.map((command) => JSON.stringify(command)).join('\n'),
      timeout: 60_000,
    });
    expect(stdout).toContain('{"return": 42}');
  });
});

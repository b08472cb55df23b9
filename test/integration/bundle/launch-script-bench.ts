import { chmod, mkdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { execa } from 'execa';
import { expect } from 'vitest';
import { describeFiles, type LaunchScriptInput, writeManifest } from '../../../src/bundle/index.ts';
import { workDirectory } from '../../../src/host/temp.ts';
import { launchInput, makeBundle, manifest } from '../../unit/bundle/fixture.ts';

/** A PCI device as sysfs shows it. */
export interface PciDevice {
  vendor?: string;
  class?: string;
  driver?: string;
  /** Number of its IOMMU group; without one the IOMMU is off. */
  group?: number;
  /** Sizes of its memory ranges with 64-bit addresses, in GiB. */
  ranges?: number[];
}

export interface Launched {
  status: number | undefined;
  stdout: string;
  stderr: string;
}

/**
 * A bundle, stand-ins for the programs that its launch_vm.sh calls, and a machine: trees for /sys, /dev and some files of
 * /proc, which `onMachine` lays over this machine's own in a mount name space.
 */
export async function launchBench(input: LaunchScriptInput = launchInput) {
  const top = await workDirectory();
  const folder = await makeBundle(join(top.path, 'a folder, with a comma'), input);
  const script = join(folder, 'launch_vm.sh');
  const machine = join(top.path, 'machine');
  const argv = join(top.path, 'argv');

  const program = async (name: string, body: string) => {
    await mkdir(join(top.path, 'bin'), { recursive: true });
    await writeFile(join(top.path, 'bin', name), `#!/bin/bash\n${body}\n`, { mode: 0o755 });
  };

  /** A QEMU that writes its arguments, one a line, to `argv`. */
  const standInQemu = async (version = '9.2.0', objects = ['sev-snp-guest', 'iommufd'], more = '') =>
    await program(
      'qemu-system-x86_64',
      `case $1 in
        --version) echo "QEMU emulator version ${version} (Debian)"; exit ;;
        -object) [ "$2" != help ] || { printf '  %s\\n' ${objects.join(' ')}; exit; } ;;
      esac
      printf '%s\\n' "$@" > '${argv}'
      ${more}`,
    );

  /** The arguments that QEMU was started with since this was asked last; undefined where it was not. */
  const started = async (): Promise<string[] | undefined> => {
    const text = await readFile(argv, 'utf8').catch(() => undefined);
    await rm(argv, { force: true });
    return text?.trimEnd().split('\n');
  };

  const run = async (
    command: string[],
    options: { cwd?: string; env?: Record<string, string> } = {},
  ): Promise<Launched> => {
    const [file, ...args] = command;
    const ran = await execa(file!, args, {
      cwd: options.cwd ?? '/',
      env: { PATH: `${top.path}/bin:/usr/bin:/bin`, ...options.env },
      extendEnv: false,
      reject: false,
    });
    return { status: ran.exitCode, stdout: ran.stdout, stderr: ran.stderr };
  };

  const launch = async (args: string[], options: Parameters<typeof run>[1] & { file?: string } = {}) =>
    await run([options.file ?? script, ...args], options);

  /** Words of the printed command line, as a shell reads them. */
  const words = async (printed: string): Promise<string[]> =>
    (await execa('bash', ['-c', `printf '%s\\n' ${printed}`])).stdout.split('\n');

  const dryRun = async (...args: string[]): Promise<string[]> => {
    const { status, stdout, stderr } = await launch([...args, '--dry-run']);
    expect(stderr).toBe('');
    expect(status).toBe(0);
    return await words(stdout);
  };

  /** Writes a file of the machine, such as /sys/module/…; undefined removes what is there. */
  const has = async (path: string, text: string | undefined) => {
    const target = join(machine, path);
    await rm(target, { recursive: true, force: true });
    if (text === undefined) return;
    await mkdir(dirname(target), { recursive: true });
    await writeFile(target, text);
  };

  /** A machine on which nothing is wrong, and a bundle as it was built. */
  const makeReady = async () => {
    await standInQemu();
    await has('/sys/module/kvm_amd/parameters/sev_snp', 'Y\n');
    for (const device of ['null', 'kvm', 'sev']) await has(`/dev/${device}`, '');
    await has('/proc/meminfo', 'MemTotal:       65536000 kB\nMemAvailable:   33554432 kB\n');
    await has('/proc/sys/net/ipv4/ip_unprivileged_port_start', '1024\n');
    for (const drive of ['crypt_root', 'applog', 'user_config', 'user_data']) {
      await execa('qemu-img', ['create', '-q', '-f', 'qcow2', join(folder, `${drive}.qcow2`), '1M']);
    }
    const files = await describeFiles(folder);
    const firmware = { ...manifest.firmware, sha256: files['OVMF.amdsev.fd'].sha256 };
    await writeManifest(folder, { ...manifest, kind: input.kind, files, firmware });
  };

  const pci = async (address: string, device: PciDevice) => {
    const { vendor = '0x10de', class: code = '0x030200', driver, group, ranges = [] } = device;
    const place = join('/sys/bus/pci/devices', address);
    await has(`${place}/vendor`, `${vendor}\n`);
    await has(`${place}/class`, `${code}\n`);
    let at = 2n ** 45n;
    const lines = ranges.map((gib) => {
      const start = at;
      at += BigInt(gib * 2 ** 30);
      return `0x${start.toString(16)} 0x${(at - 1n).toString(16)} 0x000000000014220c\n`;
    });
    // A range below 4 GiB, and one that is not there.
    const others = '0x00000000d0000000 0x00000000d0ffffff 0x0000000000040200\n0x0 0x0 0x0\n';
    await has(`${place}/resource`, lines.join('') + others);
    if (driver !== undefined) await symlink(`../../drivers/${driver}`, join(machine, place, 'driver'));
    if (group === undefined) return;
    await symlink(`../../../../kernel/iommu_groups/${group}`, join(machine, place, 'iommu_group'));
    const members = join(machine, `/sys/kernel/iommu_groups/${group}/devices`);
    await mkdir(members, { recursive: true });
    await symlink(`../../../../bus/pci/devices/${address}`, join(members, address));
    if (driver === 'vfio-pci')
      await mkdir(join(machine, place, `vfio-dev/vfio${group}`), { recursive: true });
  };

  /** Runs launch_vm.sh where the trees take the place of /sys and /dev; `root: false` as a user with no privileges. */
  const onMachine = async (args: string[], options: { root?: boolean } = {}) => {
    const enter = join(top.path, 'enter');
    const user = options.root === false ? 'unshare --user --map-user=1000 --map-group=1000' : '';
    await writeFile(
      enter,
      `set -e
      mount --bind /dev/null "$1/dev/null"
      # Work directories may lie there.
      mkdir -p "$1/dev/shm"
      mount --bind /dev/shm "$1/dev/shm"
      mount --rbind "$1/dev" /dev
      mount --bind "$1/sys" /sys
      cd "$1"
      find proc -type f | while read -r file; do mount --bind "$file" "/$file"; done
      cd /
      shift
      exec ${user} "$@"\n`,
    );
    return await run([...nameSpace, 'sh', enter, machine, script, ...args]);
  };

  await program('lspci', 'exit 1');
  await program(
    'cpuid',
    'echo "   0x8000001f 0x00: eax=0x0101fd3f ebx=0x00004173 ecx=0x000003ee edx=0x00000080"',
  );
  return {
    top: top.path,
    folder,
    script,
    machine,
    program,
    standInQemu,
    started,
    launch,
    words,
    dryRun,
    has,
    pci,
    makeReady,
    onMachine,
    mode: async (path: string, mode: number) => await chmod(path, mode),
    [Symbol.asyncDispose]: () => top[Symbol.asyncDispose](),
  };
}
export type LaunchBench = Awaited<ReturnType<typeof launchBench>>;

const nameSpace =
  process.getuid?.() === 0 ? ['unshare', '--mount'] : ['unshare', '--user', '--map-root-user', '--mount'];

/** Whether this machine lets us lay other trees over /sys and /dev. */
export async function canReplaceMachine(): Promise<boolean> {
  const [file, ...args] = nameSpace;
  const ran = await execa(file!, [...args, 'mount', '--bind', '/sys', '/sys'], { reject: false });
  return ran.exitCode === 0;
}

/** The words that follow an option, wherever it stands. */
export const after = (words: readonly string[], name: string): string[] =>
  words.flatMap((word, at) => (word === name ? [words[at + 1]!] : []));

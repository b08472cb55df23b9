import { execFileSync } from 'node:child_process';
import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { attestationApplets } from '../../../src/base/check/inspect.ts';
import { requiredModules } from '../../../src/base/check/kernel.ts';
import { requiredOptions } from '../../../src/base/check/kernel-config.ts';
import { minimumVersions, requiredFiles } from '../../../src/base/check/programs.ts';
import { readTemplateList } from '../../../src/host/template.ts';
import { bzImage } from '../../support/bzimage.ts';

/** Content by path; a link is `{ to }`, and `undefined` leaves a path out. */
export type Files = Record<string, string | Buffer | { to: string } | undefined>;

export const release = '6.12.5-amd64';
export const modules = `usr/lib/modules/${release}`;
export const signed = 'module ~Module signature appended~\n';
const applets = (await readTemplateList('initrd/applets.txt')).flatMap((line) => line.split(/\s+/));

/** A 64-bit ELF header with one program header. */
export function elf(machine: number, { isStatic }: { isStatic: boolean }): Buffer {
  const bytes = Buffer.alloc(128);
  Buffer.from([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1]).copy(bytes);
  bytes.writeUInt16LE(machine, 18);
  bytes.writeBigUInt64LE(64n, 32);
  bytes.writeUInt16LE(56, 54);
  bytes.writeUInt16LE(1, 56);
  bytes.writeUInt32LE(isStatic ? 1 : 3, 64);
  return bytes;
}

/** busybox with the names of its applets, as its table has them. */
export function busybox(names: readonly string[], { isStatic = true } = {}): Buffer {
  return Buffer.concat([elf(62, { isStatic }), Buffer.from(`\0${names.join('\0')}\0`)]);
}
export const allApplets = [...applets, ...attestationApplets];

/** The dpkg status of packages at these versions. */
export function dpkgStatus(versions: Record<string, string>): string {
  return Object.entries(versions)
    .map(([name, version]) => `Package: ${name}\nStatus: install ok installed\nVersion: ${version}\n`)
    .join('\n');
}
export const packages = Object.fromEntries(
  minimumVersions.map((entry) => [entry.package, `${entry.minimum}.7-1`]),
);

/** What a base must hold, each file no larger than its check needs. */
export function wholeBase(): Files {
  const kernel = 'RDRAND is defective. ia32_emulation';
  return {
    bin: { to: 'usr/bin' },
    sbin: { to: 'usr/sbin' },
    lib: { to: 'usr/lib' },
    ...Object.fromEntries(
      requiredFiles
        .flatMap(({ files }) => files)
        .filter((path) => !path.startsWith('/lib64/'))
        .map((path) => [path.slice(1), 'x']),
    ),
    lib64: { to: 'usr/lib64' },
    'usr/lib64/ld-linux-x86-64.so.2': { to: '/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2' },
    'usr/bin/awk': { to: '/etc/alternatives/awk' },
    'etc/alternatives/awk': { to: '/usr/bin/mawk' },
    'usr/bin/mawk': 'x',
    'usr/lib/systemd/systemd': elf(62, { isStatic: false }),
    'usr/bin/busybox': busybox(allApplets),
    'usr/lib/os-release': 'ID=debian\nPRETTY_NAME="Debian GNU/Linux 13 (trixie)"\n',
    'etc/os-release': { to: '../usr/lib/os-release' },
    'var/lib/dpkg/status': dpkgStatus(packages),
    'boot/vmlinuz': bzImage(`${release} (a@b) #1 SMP Debian 6.12.5-1`, kernel),
    'boot/config': `${requiredOptions.map(({ option }) => `CONFIG_${option}=y`).join('\n')}\n`,
    [`${modules}/modules.builtin`]: 'kernel/fs/ext4/ext4.ko\n',
    ...Object.fromEntries(
      Object.keys(requiredModules)
        .filter((name) => name !== 'ext4')
        .map((name) => [`${modules}/kernel/drivers/${name.replaceAll('_', '-')}.ko`, signed]),
    ),
  };
}

/** A squashfs of these files in a folder of its own. */
export async function smallBase(files: Files): Promise<{ image: string } & AsyncDisposable> {
  const folder = await mkdtemp(join(tmpdir(), 'small-base-'));
  const image = join(folder, 'base.squashfs');
  for (const [name, content] of Object.entries(files)) {
    if (content === undefined) continue;
    const path = join(folder, 'tree', name);
    await mkdir(dirname(path), { recursive: true });
    if (typeof content === 'string' || Buffer.isBuffer(content)) await writeFile(path, content);
    else await symlink(content.to, path);
  }
  execFileSync('gensquashfs', ['-q', '-f', '-D', join(folder, 'tree'), image]);
  return { image, [Symbol.asyncDispose]: () => rm(folder, { recursive: true }) };
}

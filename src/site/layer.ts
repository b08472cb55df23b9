import { appendFile, mkdir, readdir, stat, symlink, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { copy } from 'fs-extra/esm';
import { run } from '../host/run.ts';
import { squashfsOptions } from '../host/squashfs.ts';
import { readTemplate, shellVariables, templatePath } from '../host/template.ts';
import { addAttestation, type RuntimeAttestation } from './attestation.ts';
import { addGpu, type GpuSettings } from './gpu.ts';

/** What is sealed about the NFS share: the file that names it lies on a drive of the host's. */
export interface ShareSettings {
  /** Whether the firewall lets NFS out; without it the file is not even read. */
  allowed: boolean;
  /** Whether the workload may write to it. */
  writable: boolean;
}

/** What one site adds to the base. It is sealed, so it may hold secrets of the site. */
export interface SiteLayer {
  /** OCI runtime configuration of the workload. */
  runtimeConfig: object;
  /** The same with a mount point for the NFS share; undefined where there can be none. */
  shareRuntimeConfig?: object | undefined;
  /** Absolute paths in the container that are mounted over; where the image has one, it must be a folder. */
  mountPoints: readonly string[];
  /** The VM's numbers of the container's users and groups: that of its root, and how many there are. */
  ids: { first: number; count: number };
  /** What the user_config drive must hold: lines sorted by `LC_ALL=C sort`. */
  userConfigList: string;
  /** The NFS share that user_data may name. */
  share: ShareSettings;
  /** Folder with what is sealed of user_config: the VM shows it over what it copied from the drive. */
  sealedFolder: string;
  /** Whose that folder and all in it is in the VM. */
  owner: Owner;
  /** snpguest for the container's /host/bin, or undefined. */
  snpguest?: string | undefined;
  /** How the running VM attests again, or undefined. */
  attestation?: RuntimeAttestation | undefined;
  /** NVIDIA GPUs for the workload, or undefined. */
  gpu?: GpuSettings | undefined;
}

/** User and group by number, as a squashfs holds them: 32 bits. */
export interface Owner {
  uid: number;
  gid: number;
}

export interface SiteLayerOptions {
  /** The squashfs to make. */
  file: string;
  /** A private folder for staging. */
  workDirectory: string;
  signal?: AbortSignal | undefined;
}

/** What the units run: files of `templates/site`. */
const scripts = [
  'lock',
  'keep-address',
  'workload.sh',
  'workload-start',
  'workload-log',
  'workload-space',
  'workload-ended',
  'user-namespace',
  'attach-mounts',
  'mount-share',
  'share-conf',
];

/**
 * Makes the site layer, stacked over the base in the CVM: our units (the only ones there are), the workload's
 * configuration, the seal of user_config.
 */
export async function makeSiteLayer(layer: SiteLayer, options: SiteLayerOptions): Promise<void> {
  const staging = join(options.workDirectory, 'site');
  const home = join(staging, 'usr/lib/cvm');
  for (const folder of ['workload', 'empty', 'host-bin']) {
    await mkdir(join(home, folder), { recursive: true, mode: 0o755 });
  }
  await copy(templatePath('site/units'), join(home, 'units'));
  await copy(templatePath('site/etc-systemd'), join(home, 'etc-systemd'));
  await mkdir(join(home, 'etc-systemd/system'));
  for (const script of scripts) await copy(templatePath(`site/${script}`), join(home, script));
  await copy(templatePath('initrd/lib/dhcp.sh'), join(home, 'dhcp.sh'));
  await copy(templatePath('site/modules.txt'), join(home, 'modules'));
  await writeShare(layer.share, home);
  await writeFile(join(home, 'user_config.list'), layer.userConfigList);
  await writeFile(join(home, 'workload/config.json'), JSON.stringify(layer.runtimeConfig));
  if (layer.shareRuntimeConfig !== undefined) {
    await mkdir(join(home, 'workload-share'), { mode: 0o755 });
    await writeFile(join(home, 'workload-share/config.json'), JSON.stringify(layer.shareRuntimeConfig));
  }
  await addAttestation(home, layer);
  if (layer.gpu !== undefined) await addGpu(home, layer.gpu);
  await writeFile(join(home, 'workload/mount-points'), layer.mountPoints.map((path) => `${path}\n`).join(''));
  const { first, count } = layer.ids;
  await writeFile(join(home, 'workload/ids'), shellVariables({ first_id: first, id_count: count }));
  // By a link: what is sealed may be gigabytes.
  await symlink(resolve(layer.sealedFolder), join(home, 'user_config.sealed'));
  // The kernel would run it as root on names that an NFS server gives: not executable, it does not.
  await mkdir(join(staging, 'usr/sbin'), { mode: 0o755 });
  await writeFile(join(staging, 'usr/sbin/request-key'), '');
  await mkdir(join(staging, 'etc'), { mode: 0o755 });
  await writeFile(join(staging, 'etc/fstab'), '');
  await writeFile(join(staging, 'etc/crypttab'), '');

  const lines = [
    ...(await packLines(staging, '', { folder: 'usr/lib/cvm/user_config.sealed', owner: layer.owner })),
    ...['resolv.conf', 'hosts', 'hostname'].map((name) => `slink etc/${name} 0777 0 0 /run/cvm/etc/${name}`),
  ];
  const list = join(options.workDirectory, 'site.list');
  await writeFile(list, `${lines.join('\n')}\n`);
  await run('gensquashfs', ['-D', staging, '-F', list, ...squashfsOptions(), options.file], {
    signal: options.signal,
  });
}

/** What mount-share reads, and, only where a share is allowed, the modules of the NFS client. */
async function writeShare({ allowed, writable }: ShareSettings, home: string): Promise<void> {
  await writeFile(
    join(home, 'share'),
    `share_allowed=${allowed ? 'yes' : 'no'}\nshare_access=${writable ? 'rw' : 'ro'}\n`,
  );
  if (allowed) await appendFile(join(home, 'modules'), await readTemplate('site/share-modules.txt'));
}

/**
 * Lines of gensquashfs's pack file for a folder: everything belongs to 0:0; folders 0755, files 0644 or 0755,
 * whatever the umask was; in the sealed folder the permission bits of the source, and its own owner.
 */
async function packLines(
  root: string,
  folder: string,
  sealed: { folder: string; owner: Owner },
): Promise<string[]> {
  const lines: string[] = [];
  for (const name of (await readdir(join(root, folder))).sort()) {
    const path = folder === '' ? name : `${folder}/${name}`;
    const found = await stat(join(root, path));
    const isFolder = found.isDirectory();
    const isSealed = path === sealed.folder || path.startsWith(`${sealed.folder}/`);
    const common = isFolder || (found.mode & 0o100) !== 0 ? 0o755 : 0o644;
    const mode = isSealed ? found.mode & 0o777 : common;
    const { uid, gid } = isSealed ? sealed.owner : { uid: 0, gid: 0 };
    const word = `"${path.replaceAll(/["\\]/g, '\\$&')}"`;
    lines.push(`${isFolder ? 'dir' : 'file'} ${word} 0${mode.toString(8)} ${uid} ${gid}`);
    if (isFolder) for (const line of await packLines(root, path, sealed)) lines.push(line);
  }
  return lines;
}

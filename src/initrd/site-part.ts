import { copyFile, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { shellVariables } from '../host/template.ts';
import { packCpio } from './cpio.ts';

/** Values that InitApp reads as shell variables from /etc/cvm/settings; numbers and words, quoted here. */
export interface InitSettings {
  kind: 'production' | 'development';
  builder_version: string;
  cvm_id: string;
  /** Host name of the CVM. */
  cvm_name: string;
  /** The measured kernel command line. */
  cmdline: string;
  /** Seconds since 1970: the clock is never before it. */
  build_time: number;
  kbs_url: string;
  /** `repository/type/tag`. */
  kbs_path: string;
  kbs_attempts: number;
  kbs_retry_seconds: number;
  verity_root_hash: string;
  verity_salt: string;
  /** Bytes. */
  verity_hash_offset: number;
  /** Blocks of 4096 bytes. */
  verity_data_blocks: number;
  /** Sectors of 512 bytes. */
  vault_first_sector: number;
  vault_integrity: 'yes' | 'no';
  user_data_writable: 'yes' | 'no';
  /** Whom the container runs as, in its own numbers. */
  workload_uid: number;
  workload_gid: number;
  /** The VM's number of the container's user and group 0. */
  first_id: number;
  /** Sizes as tmpfs takes them, e.g. `50%`. */
  system_ram: string;
  workload_ram: string;
}

/** Files of one site's /etc/cvm. */
export interface SitePart {
  settings: InitSettings;
  /** Lines `<name> <first sector> <sectors>`. */
  layout: string;
  /** Rules of nft(8). */
  firewall: string;
  hosts: string;
  /** Modules in the order of loading, a line each. */
  modules: string;
  /** PEM certificate of the key broker, or of its authority: the only one that is trusted. */
  kbsCa: string;
  /** The LUKS2 header used at boot. */
  luksHeader: string;
}

/** The part of the initrd that is one site's own: a few files, so that a site's initrd costs milliseconds. */
export async function sitePart(
  part: SitePart,
  options: { file: string; workDirectory: string; signal?: AbortSignal | undefined },
): Promise<void> {
  const tree = join(options.workDirectory, 'site-part');
  const folder = join(tree, 'etc/cvm');
  await mkdir(folder, { recursive: true });
  await writeFile(join(folder, 'settings'), settingsFile(part.settings));
  await writeFile(join(folder, 'layout'), part.layout);
  await writeFile(join(folder, 'firewall.nft'), part.firewall);
  await writeFile(join(folder, 'hosts'), part.hosts);
  await writeFile(join(folder, 'modules'), part.modules);
  await writeFile(join(folder, 'kbs-ca.pem'), part.kbsCa);
  await copyFile(part.luksHeader, join(folder, 'luks-header'));
  await packCpio(tree, options.file, 3, options.signal);
}

/** /etc/cvm/settings: one `name='value'` a line. */
export function settingsFile(settings: InitSettings): string {
  return shellVariables({ ...settings });
}

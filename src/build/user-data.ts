import { chmod, mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { CcConfig } from '../config/index.ts';
import type { ShareSettings } from '../site/index.ts';

/** TCP port of NFS version 4, the only one it needs: no port mapper, no mount or lock service. */
const nfsPort = 2049;

/** Whether `user_data/ext_mount.conf` may mount a share: where the sealed firewall lets NFS out. */
export function shareSettings(site: Pick<CcConfig, 'allowedOutPorts' | 'userDataWritable'>): ShareSettings {
  return { allowed: site.allowedOutPorts.includes(nfsPort), writable: site.userDataWritable };
}

/**
 * Content of a new `user_data` drive: the empty folder `mnt`, which a share is mounted on. The drive is read-only in the
 * VM, so it could not be made there.
 * @returns a folder in `work`
 */
export async function userDataFolder(work: string): Promise<string> {
  const folder = join(work, 'user_data');
  const place = join(folder, 'mnt');
  await mkdir(place, { recursive: true });
  await chmod(place, 0o755);
  return folder;
}

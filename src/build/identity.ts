import { randomBytes } from 'node:crypto';
import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { newDiskKey, type Secret } from '../host/secret.ts';
import type { BuildSettings } from './settings.ts';

/** What is one image's own: its id, its key, and where its parts go. */
export interface Identity {
  /** 12 lower-case hex digits. */
  id: string;
  key: Secret;
  /** Bundle folder, `target/cvm_<id>`. */
  folder: string;
  /** The packed bundle before it gets its name, in the same folder as that. */
  archive: string;
  /** `handoff/cvm_<id>`. */
  handoff: string;
  /** Resource path of the key at the key broker. */
  resource: string;
  /** Paths that are removed when the run ends; emptied by the build's last step. */
  unfinished: string[];
}

/** Draws a new identity. Whatever ends the build before its last step takes away what was made for it. */
export async function newIdentity(settings: BuildSettings, scope: AsyncDisposableStack): Promise<Identity> {
  const id = randomBytes(6).toString('hex');
  const key = newDiskKey();
  scope.defer(() => key.wipe());
  const folder = join(settings.targetFolder, `cvm_${id}`);
  const archive = join(settings.targetFolder, `.cvm_${id}.tgz`);
  const handoff = join(settings.handoffFolder, `cvm_${id}`);
  const unfinished = [folder, archive, handoff];
  await mkdir(folder, { recursive: true, mode: 0o755 });
  scope.defer(async () => {
    for (const path of unfinished) await rm(path, { recursive: true, force: true });
  });
  const resource = `${settings.builder.kbs.resourcePrefix}/${id}`;
  return { id, key, folder, archive, handoff, resource, unfinished };
}

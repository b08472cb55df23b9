import { chmod, chown, rename, rm, stat, truncate, writeFile } from 'node:fs/promises';
import { run } from '../../host/run.ts';
import { type Place, requireSpace, syncToDisk } from './place.ts';
import type { Workspace } from './workspace.ts';

/**
 * Works on a sparse raw copy and replaces the drive in one step: where there is neither FUSE nor a device. It takes the space of the
 * drive's data twice.
 */
export async function copyWorkspace(place: Place, signal: AbortSignal | undefined): Promise<Workspace> {
  const { drive, next, raw } = place;
  const { mode, uid, gid } = await stat(drive);
  const remove = async () => {
    await rm(raw, { force: true });
    await rm(next, { force: true });
  };
  try {
    await requireSpace(place, 2 * (await dataBytes(drive, signal)));
    await writeFile(raw, '', { flag: 'wx', mode: 0o600 });
    const args = ['convert', '-U', '-f', 'qcow2', '-O', 'raw', drive, raw];
    await run('qemu-img', args, { signal, endWithParent: 'SIGKILL' });
  } catch (error) {
    await remove();
    throw error;
  }
  return {
    open: async () => ({ path: raw, async [Symbol.asyncDispose]() {} }),
    setSize: (bytes) => truncate(raw, bytes),
    async prepare() {
      await requireSpace(place, (await stat(raw)).blocks * 512);
      const form = ['-f', 'raw', '-O', 'qcow2', '-o', 'compat=1.1,lazy_refcounts=off'];
      await run('qemu-img', ['convert', ...form, raw, next], { signal, endWithParent: 'SIGKILL' });
      await chmod(next, mode & 0o777);
      if (process.getuid?.() === 0) await chown(next, uid, gid);
      await syncToDisk(next);
    },
    async install(_, before) {
      await before(next);
      await rename(next, drive);
      await syncToDisk(place.folder);
    },
    [Symbol.asyncDispose]: remove,
  };
}

/** Bytes of data that a copy takes. */
async function dataBytes(drive: string, signal: AbortSignal | undefined): Promise<number> {
  const args = ['measure', '-U', '--output=json', '-f', 'qcow2', '-O', 'qcow2', drive];
  return (JSON.parse(await run('qemu-img', args, { signal })) as { required: number }).required;
}

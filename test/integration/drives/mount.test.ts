import { existsSync } from 'node:fs';
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { catFile, checkDrive, copyToDrive, makeDrive, mountDrive } from '../../../src/drives/index.ts';
import { workDirectory } from '../../../src/host/temp.ts';

/** Mounts a drive for as long as `work` takes. */
async function whileMounted(drive: string, folder: string, write: boolean, work: () => Promise<void>) {
  const end = new AbortController();
  const { promise: mounted, resolve } = Promise.withResolvers<void>();
  const mount = mountDrive(drive, folder, { write, mounted: resolve, signal: end.signal });
  await Promise.race([mounted, mount]);
  try {
    await work();
  } finally {
    end.abort();
    await mount;
  }
}

it.skipIf(!existsSync('/dev/fuse'))(
  'a mounted drive is read, written with --write alone, and clean afterwards',
  async () => {
    await using top = await workDirectory();
    const drive = join(top.path, 'mounted.qcow2');
    await makeDrive({
      file: drive,
      bytes: 64 * 2 ** 20,
      label: 'user_data',
      seed: 'mount',
      workDirectory: top.path,
    });
    const source = join(top.path, 'one');
    await writeFile(source, 'one\n');
    const options = { recursive: false, verify: false, progress: () => {}, warn: () => {} };
    await copyToDrive([source], drive, '/', options);
    const folder = join(top.path, 'folder');
    await mkdir(folder);
    await whileMounted(drive, folder, false, async () => {
      expect(await readFile(join(folder, 'one'), 'utf8')).toBe('one\n');
      await expect(writeFile(join(folder, 'two'), 'two\n')).rejects.toThrow('EROFS');
    });
    expect(await readdir(folder)).toEqual([]);
    await whileMounted(drive, folder, true, () => writeFile(join(folder, 'two'), 'two\n'));
    for await (const piece of catFile(drive, '/two')) expect(piece.toString()).toBe('two\n');
    expect(await checkDrive(drive, { repair: false })).toMatchObject({ sound: true });
    await expect(
      mountDrive(drive, top.path, { write: false, mounted: () => {}, signal: new AbortController().signal }),
    ).rejects.toThrow('is not empty');
  },
);

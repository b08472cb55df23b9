import { mkdir, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { execa } from 'execa';
import { expect, it } from 'vitest';
import { workDirectory } from '../../../src/host/temp.ts';
import { layerPackages } from '../../../src/inspect/packages/layers.ts';

it.each([
  [
    'a database that is larger than any',
    async (root: string) => {
      await mkdir(join(root, 'var/lib/dpkg'), { recursive: true });
      await writeFile(join(root, 'var/lib/dpkg/status'), '');
      await truncate(join(root, 'var/lib/dpkg/status'), 65 * 2 ** 20);
    },
  ],
  [
    'a name that looks like a line of the listing',
    async (root: string) => {
      // One name of three lines: as a path of folders, because a name holds no slash.
      const folder = join(root, 'a\nfile var/lib/dpkg');
      await mkdir(folder, { recursive: true });
      await writeFile(join(folder, 'status 0644 0 0\nb'), '');
    },
  ],
])('with %s the other packages of an image are told all the same', async (_, plant) => {
  await using work = await workDirectory();
  const root = join(work.path, 'root');
  await mkdir(join(root, 'lib/apk/db'), { recursive: true });
  await writeFile(join(root, 'lib/apk/db/installed'), 'P:musl\nV:1.2.4-r2\nA:x86_64\n\n');
  await plant(root);
  const layer = join(work.path, 'layer.squashfs');
  await execa('sh', ['-c', 'tar -C "$1" -c . | tar2sqfs -q "$2"', 'sh', root, layer]);
  const report = await layerPackages([layer]);
  expect(report.packages).toMatchObject([{ type: 'apk', name: 'musl' }]);
  expect(report.unread).toEqual(['/var/lib/dpkg/status']);
});

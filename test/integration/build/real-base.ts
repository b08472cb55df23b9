import { execFileSync } from 'node:child_process';
import { mkdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { type Base, buildBase, findFirmware } from '../../../src/base/index.ts';
import { projectRoot } from '../../../src/build/builder-file.ts';
import { defaultCacheRoot, openCache } from '../../../src/graph/cache.ts';
import { lockFile } from '../../../src/host/lock.ts';
import { templatePath } from '../../../src/host/template.ts';
import { makeGenericParts } from '../../../src/initrd/index.ts';

/** The real base and firmware, in this account's own cache: made there once, some 90 s, by whichever test is first. */
export async function realBase(): Promise<Base> {
  const cache = openCache(defaultCacheRoot());
  await cache.list(); // makes the folder
  await using _lock = await lockFile(join(cache.root, '.tests-lock'), { timeoutMs: 600_000 });
  await findFirmware({ cache, baseImages: join(projectRoot, 'base_images') });
  return buildBase({ cache, recipe: templatePath('base') });
}

/** A cache of one's own at `root` that holds the base and the firmware of {@link realBase}, and no layers. */
export async function seedCache(root: string, { initrd = false } = {}): Promise<Base> {
  const base = await realBase();
  const source = defaultCacheRoot();
  await mkdir(root, { recursive: true, mode: 0o700 });
  const link = async (name: string) => {
    await mkdir(dirname(join(root, name)), { recursive: true, mode: 0o700 });
    // Hard links where both lie on one file system: entries never change.
    execFileSync('sh', [
      '-c',
      'cp -al "$1" "$2" 2>/dev/null || { rm -rf "$2" && cp -a "$1" "$2"; }',
      'sh',
      join(source, name),
      join(root, name),
    ]);
  };
  await link(`base/${dirname(base.squashfs).split('/').at(-1)}`);
  await link('firmware');
  if (initrd) {
    await makeGenericParts({ cache: openCache(source), base, client: { kind: 'development' } });
    await link('initrd');
  }
  return base;
}

import { cp, mkdir, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { execa } from 'execa';
import { expect, test } from 'vitest';
import { defaultCacheRoot } from '../../src/graph/cache.ts';
import { unpackSquashfs } from '../../src/host/squashfs.ts';
import { workDirectory } from '../../src/host/temp.ts';
import { templatePath } from '../../src/host/template.ts';
import { runtimeConfig } from '../../src/workload/index.ts';

const image = {
  config: {
    ...{ architecture: 'amd64', os: 'linux', rootfs: { diff_ids: [] } },
    config: { Cmd: ['/bin/busybox', 'echo', 'started'] },
  },
  ...{ accounts: {}, noFolders: [] },
};

/** The builder's configuration, less what is the VM's alone: files of /run/cvm, cgroups, limits that an account may not raise. */
function configuration(): object {
  const config = JSON.parse(
    JSON.stringify(runtimeConfig(image, { hostname: 'site-1', hostBin: false, gpu: false })),
  );
  config.mounts = config.mounts.filter(
    ({ destination, type }: { destination: string; type: string }) =>
      !destination.startsWith('/etc/') && type !== 'cgroup',
  );
  config.linux.namespaces = config.linux.namespaces.filter(({ type }: { type: string }) => type !== 'cgroup');
  config.linux.resources = {};
  config.linux.cgroupsPath = undefined;
  config.process.rlimits = [];
  return config;
}

test.skipIf(process.getuid?.() !== 0)(
  'a thousand starts of the container by the base’s own crun all succeed',
  async () => {
    await using work = await workDirectory({ bytes: 2 ** 29 });
    const bases = join(defaultCacheRoot(), 'base');
    const [base] = await readdir(bases);
    const [root, bundle] = [join(work.path, 'base'), join(work.path, 'bundle')];
    await mkdir(root);
    await unpackSquashfs(join(bases, base!, 'base.squashfs'), root);
    await mkdir(join(bundle, 'rootfs/bin'), { recursive: true });
    await cp('/bin/busybox', join(bundle, 'rootfs/bin/busybox'));
    await cp(templatePath('site/user-namespace'), join(bundle, 'user-namespace'));
    await writeFile(join(bundle, 'config.json'), JSON.stringify(configuration()));
    const script = join(import.meta.dirname, 'crun-starts.sh');
    const { stdout } = await execa('unshare', ['--mount', script, root, bundle, '1000']);
    expect(stdout).toBe('1000 starts');
  },
);

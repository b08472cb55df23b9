import { execFileSync } from 'node:child_process';
import { chmod, cp, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { sha256File } from '../../src/host/files.ts';
import { squashfsOptions } from '../../src/host/squashfs.ts';
import { seedCache } from '../integration/build/real-base.ts';
import { cdiSpecification } from '../integration/site/cdi-specification.ts';

/*
 * A base that looks as if it held NVIDIA's software. There is neither that nor a GPU where the tests run: shell scripts stand in
 * for the programs, and files that say of themselves what a module says for the modules, which no kernel would load.
 */

const smi = `case $* in
  *' -f') echo 'CC status: ON' ;;
  *' -d') echo 'DevTools Mode: OFF' ;;
  *' -grs') echo 'Confidential Compute GPUs Ready state: ready' ;;
esac`;
const persistence = `: > /run/nvidia-persistenced/socket
setsid sleep 100000 < /dev/null > /dev/null 2>&1 &`;
const toolkit = `for word; do
  case $word in --output=*) cp /usr/share/cdi.json "$(echo "$word" | cut -d = -f 2)" ;; esac
done`;
// Before the container's root becomes the root, as the real one finds it.
const hook = `echo "$*" >> /run/cvm/workload/rootfs/hooks.txt
env | grep -v -e '^PWD=' -e '^_=' -e '^SHLVL=' -e '^OLDPWD=' | sed 's/^/env /' >> /run/cvm/workload/rootfs/hooks.txt`;

const module = '\0version=570.172.08\0license=Dual MIT/GPL\0PKCS#7~Module signature appended~\n';

/** jq of this machine, with its libraries: the base is of the same release. */
function jqFiles(): string[] {
  const libraries = execFileSync('ldd', ['/usr/bin/jq'], { encoding: 'utf8' });
  const wanted = [...libraries.matchAll(/(?<=\s)(?:\/usr)?(\/lib\/\S+lib(?:jq|onig)\S*)/g)];
  return ['/usr/bin/jq', ...wanted.map(([, path]) => `/usr${path}`)];
}

/** Makes the cache at `root` with the usual base, to which the stand-ins are added. */
export async function seedGpuBase(root: string, work: string): Promise<void> {
  const base = await seedCache(root);
  const entry = join(root, 'base', dirname(base.squashfs).split('/').at(-1)!);
  const tree = join(work, 'tree');
  const modules = `usr/lib/modules/${base.kernelRelease}/kernel/nvidia-570srv-open`;
  const libraries = 'usr/lib/x86_64-linux-gnu';
  const files: Record<string, string> = {
    [`${modules}/nvidia.ko`]: module,
    [`${modules}/nvidia-uvm.ko`]: module,
    'usr/lib/firmware/nvidia/570.172.08/gsp_ga10x.bin': '',
    [`${libraries}/libcuda.so.1`]: '',
    [`${libraries}/libcuda.so.570.172.08`]: 'what stands for libcuda\n',
    [`${libraries}/libnvidia-ml.so.1`]: '',
    [`${libraries}/libnvidia-ml.so.570.172.08`]: '',
    'usr/share/cdi.json': JSON.stringify(cdiSpecification()).replaceAll('/dev/nvidia0', '/dev/nvidia237'),
  };
  const programs = {
    'nvidia-smi': smi,
    'nvidia-persistenced': persistence,
    'nvidia-ctk': toolkit,
    'nvidia-cdi-hook': hook,
  };
  for (const [name, script] of Object.entries(programs)) files[`usr/bin/${name}`] = `#!/bin/sh\n${script}\n`;
  for (const [name, text] of Object.entries(files)) {
    await mkdir(dirname(join(tree, name)), { recursive: true });
    await writeFile(join(tree, name), text);
    await chmod(join(tree, name), name.startsWith('usr/bin/') ? 0o755 : 0o644);
  }
  for (const path of jqFiles()) await cp(path, join(tree, path), { dereference: true });

  // Files of the cache are links to the user's own: never written, only replaced.
  const squashfs = join(work, 'base.squashfs');
  execFileSync('sh', [
    '-c',
    `sqfs2tar "$1" > "$2/base.tar" && (cd "$3" && find . -type f | sed 's|^./||' | sort) > "$2/list" &&
      tar --append -f "$2/base.tar" -C "$3" --owner=0 --group=0 -T "$2/list" && shift 3 &&
      tar2sqfs "$@" < "$0/base.tar" && rm "$0/base.tar"`,
    work,
    base.squashfs,
    work,
    tree,
    ...squashfsOptions(),
    squashfs,
  ]);
  const replace = async (name: string, content: string | Buffer) => {
    await rm(join(entry, name));
    await writeFile(join(entry, name), content);
  };
  await replace('base.squashfs', await readFile(squashfs));
  const meta = JSON.parse(await readFile(join(entry, 'meta.json'), 'utf8')) as object;
  const { hex: id } = await sha256File(squashfs);
  await replace('meta.json', JSON.stringify({ ...meta, id }));
}

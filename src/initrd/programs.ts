import { chmod, cp, mkdir, readdir, readFile, rm, stat, symlink } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Cache, contentKey } from '../graph/cache.ts';
import { UserError } from '../host/errors.ts';
import { run } from '../host/run.ts';
import { unpackSquashfs } from '../host/squashfs.ts';
import { templatePath } from '../host/template.ts';
import { packCpio } from './cpio.ts';

/** The base that programs, libraries and modules are taken from. */
export interface ProgramSource {
  /** Content key of the squashfs. */
  id: string;
  squashfs: string;
  kernelRelease: string;
}

/** A user's own program, put into the initrd's /usr/bin with the libraries the base has for it. */
export interface ExtraProgram {
  name: string;
  file: string;
  sha256: string;
}

export interface ProgramsOptions {
  cache: Cache;
  base: ProgramSource;
  signal?: AbortSignal | undefined;
}

/**
 * The generic part of every initrd: InitApp, its programs and the kernel modules it loads. Cached: it depends
 * on the base and our templates alone.
 * @returns path of a zstd-compressed cpio archive
 */
export async function systemPart(options: ProgramsOptions): Promise<string> {
  const programs = await readList('programs.txt');
  const modules = await readList('modules.txt');
  const applets = await readList('applets.txt');
  const scripts = [
    'init',
    ...['dhcp', 'drives', 'key', 'log', 'network', 'sealed', 'user-config', 'vault'].map(
      (name) => `lib/${name}.sh`,
    ),
  ];
  const texts = await Promise.all(scripts.map((name) => readFile(templatePath(`initrd/${name}`))));
  return part(
    options,
    contentKey('system', 'v2', ...[programs, modules, applets].map((list) => list.join('\n')), ...texts),
    async (sysroot, tree) => {
      await installPrograms(sysroot, tree, programs, options.signal);
      await installModules(options.base.kernelRelease, sysroot, tree, modules, options.signal);
      await busyboxLinks(tree);
      await mkdir(join(tree, 'usr/lib/cvm'), { recursive: true });
      await cp(templatePath('initrd/init'), join(tree, 'init'));
      await chmod(join(tree, 'init'), 0o755);
      for (const name of scripts.slice(1)) {
        await cp(templatePath(`initrd/${name}`), join(tree, 'usr/lib/cvm', basename(name)));
      }
      await chmod(join(tree, 'usr/lib/cvm/dhcp.sh'), 0o755);
      for (const folder of ['dev', 'proc', 'sys', 'run', 'sysroot', 'tmp', 'etc/cvm']) {
        await mkdir(join(tree, folder), { recursive: true });
      }
    },
  );
}

/** The client for the KBS protocol's sample TEE: in the initrds of development bundles and in no other. */
export async function developmentPart(options: ProgramsOptions): Promise<string> {
  const programs = await readList('dev-programs.txt');
  const client = templatePath('initrd/kbs-sample-client');
  return part(
    options,
    contentKey('development', 'v2', ...programs, await readFile(client)),
    async (sysroot, tree) => {
      await installPrograms(sysroot, tree, programs, options.signal);
      await cp(client, join(tree, 'usr/bin/kbs-sample-client'));
      await chmod(join(tree, 'usr/bin/kbs-sample-client'), 0o755);
    },
  );
}

/** The user's kbs-client and snpguest, with the libraries that the base has for them. */
export async function clientsPart(
  options: ProgramsOptions,
  extras: readonly ExtraProgram[],
): Promise<string> {
  const key = contentKey('clients', ...extras.flatMap(({ name, sha256 }) => [name, sha256]));
  return part(options, key, async (sysroot, tree) => {
    for (const { name, file } of extras) {
      const inside = join(sysroot, 'usr/bin', name);
      await rm(inside, { force: true });
      await cp(file, inside);
      await chmod(inside, 0o755);
    }
    await installPrograms(
      sysroot,
      tree,
      extras.map(({ name }) => `/usr/bin/${name}`),
      options.signal,
    );
  });
}

/** Unpacks the base beside the entry, lets `fill` collect a tree from it, packs the tree. */
async function part(
  { cache, base, signal }: ProgramsOptions,
  key: string,
  fill: (sysroot: string, tree: string) => Promise<void>,
): Promise<string> {
  const folder = await cache.entry('initrd', contentKey(base.id, key), async (entry) => {
    const [sysroot, tree] = [join(entry, 'sysroot'), join(entry, 'tree')];
    await mkdir(sysroot);
    await mkdir(tree);
    await unpackSquashfs(base.squashfs, sysroot, signal);
    await fill(sysroot, tree);
    await packCpio(tree, join(entry, 'part.cpio.zst'), 9, signal);
    await rm(sysroot, { recursive: true });
    await rm(tree, { recursive: true });
  });
  return join(folder, 'part.cpio.zst');
}

/** Words of a list in templates/initrd: a line each, comments left out. */
export async function readList(name: string): Promise<string[]> {
  const text = await readFile(templatePath(`initrd/${name}`), 'utf8');
  return text
    .split('\n')
    .map((line) => line.replace(/#.*/, '').trim())
    .filter((line) => line !== '');
}

/** dracut-install follows each program's headers to the libraries it needs. */
async function installPrograms(
  sysroot: string,
  tree: string,
  programs: string[],
  signal?: AbortSignal,
): Promise<void> {
  for (const program of programs) {
    if ((await stat(join(sysroot, program)).catch(() => undefined)) === undefined) {
      throw new UserError(`cannot make the initrd: the base has no ${program}`, {
        hint: 'see templates/base/packages.txt for what a base must hold',
      });
    }
  }
  await run('dracut-install', ['-D', tree, '-r', sysroot, '-l', '-a', ...programs], {
    signal,
    env: { DRACUT_LDD: fileURLToPath(new URL('sysroot-ldd', import.meta.url)), CVM_SYSROOT: sysroot },
  });
}

/** Folders at the top as in every merged-/usr system, and a link to busybox for each applet. */
async function busyboxLinks(tree: string): Promise<void> {
  for (const folder of ['bin', 'sbin']) {
    await mkdir(join(tree, 'usr', folder), { recursive: true });
    await rm(join(tree, folder), { force: true });
    await symlink(`usr/${folder}`, join(tree, folder));
  }
  for (const line of await readList('applets.txt')) {
    for (const applet of line.split(/\s+/)) await symlink('busybox', join(tree, 'usr/bin', applet));
  }
  await symlink('../bin/kmod', join(tree, 'usr/sbin/modprobe'));
}

/** Modules are copied unchanged, never stripped: under lockdown only signed ones load. */
async function installModules(
  release: string,
  sysroot: string,
  tree: string,
  modules: string[],
  signal?: AbortSignal,
): Promise<void> {
  const folder = `usr/lib/modules/${release}`;
  const from = ['-D', tree, '-r', sysroot, '--kerneldir', join(sysroot, folder)];
  await run('dracut-install', [...from, '-o', '-m', ...modules], { signal });
  // The indexes name more modules than the initrd has; modprobe needs them for dependencies.
  for (const index of (await readdir(join(sysroot, folder))).filter((name) => name.startsWith('modules.'))) {
    await cp(join(sysroot, folder, index), join(tree, folder, index));
  }
}

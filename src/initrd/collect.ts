import { cp, mkdir, readdir, rm, stat, symlink } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { UserError } from '../host/errors.ts';
import { run } from '../host/run.ts';
import { readTemplateList } from '../host/template.ts';

/** Where programs and modules are collected from, and where to. */
export interface Collection {
  /** The base, unpacked. */
  sysroot: string;
  /** The initrd's tree. */
  tree: string;
  signal?: AbortSignal | undefined;
}

/** Entries of a list in templates/initrd. */
export function readList(name: string): Promise<string[]> {
  return readTemplateList(`initrd/${name}`);
}

/**
 * Copies programs with the libraries they need: dracut-install follows each program's headers.
 * @throws UserError where the base lacks one.
 */
export async function installPrograms(
  { sysroot, tree, signal }: Collection,
  programs: readonly string[],
): Promise<void> {
  for (const program of programs) {
    if ((await stat(join(sysroot, program)).catch(() => undefined)) === undefined) {
      throw new UserError(`cannot make the initrd: the base has no ${program}`, {
        hint: 'templates/base/core.txt says what a base must hold',
      });
    }
  }
  await run('dracut-install', ['-D', tree, '-r', sysroot, '-l', '-a', ...programs], {
    signal,
    env: { DRACUT_LDD: fileURLToPath(new URL('sysroot-ldd', import.meta.url)), CVM_SYSROOT: sysroot },
  });
}

/** Copies modules unchanged, never stripped: under lockdown only signed ones load. */
export async function installModules(
  { sysroot, tree, signal }: Collection,
  kernelRelease: string,
  modules: readonly string[],
): Promise<void> {
  const folder = `usr/lib/modules/${kernelRelease}`;
  const from = ['-D', tree, '-r', sysroot, '--kerneldir', join(sysroot, folder)];
  await run('dracut-install', [...from, '-o', '-m', ...modules], { signal });
  // The indexes name more modules than the initrd has; modprobe needs them for dependencies.
  for (const index of (await readdir(join(sysroot, folder))).filter((name) => name.startsWith('modules.'))) {
    await cp(join(sysroot, folder, index), join(tree, folder, index));
  }
}

/** Folders at the top as in every merged-/usr system, and a link to busybox for each applet. */
export async function linkApplets(tree: string, lines: readonly string[]): Promise<void> {
  for (const folder of ['bin', 'sbin']) {
    await mkdir(join(tree, 'usr', folder), { recursive: true });
    await rm(join(tree, folder), { force: true });
    await symlink(`usr/${folder}`, join(tree, folder));
  }
  for (const applet of lines.flatMap((line) => line.split(/\s+/))) {
    await symlink('busybox', join(tree, 'usr/bin', applet));
  }
  await symlink('../bin/kmod', join(tree, 'usr/sbin/modprobe'));
}

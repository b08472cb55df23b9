import { mkdir, readdir, rm, symlink, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { UserError } from '../host/errors.ts';
import { indexFiles, KernelModules } from '../host/kernel-modules.ts';
import { plainText, readTemplateList } from '../host/template.ts';
import { ProgramInstaller } from './programs.ts';
import { findInSysroot } from './sysroot.ts';

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
 * Copies programs with the libraries they need, by what their headers say.
 * @throws UserError where the base lacks one
 */
export async function installPrograms(
  { sysroot, tree, signal }: Collection,
  programs: readonly string[],
): Promise<void> {
  const installer = new ProgramInstaller(sysroot, tree);
  for (const program of programs) {
    signal?.throwIfAborted();
    await installer.install(program);
  }
}

/**
 * Copies modules with those they need, and the kernel's indexes, unchanged and never stripped: under lockdown only signed
 * modules load. A module that the kernel lacks is left out: the check of the base says which it must have.
 */
export async function installModules(
  { sysroot, tree, signal }: Collection,
  kernelRelease: string,
  modules: readonly string[],
): Promise<void> {
  const folder = `usr/lib/modules/${kernelRelease}`;
  const copy = async (path: string): Promise<Buffer | undefined> => {
    signal?.throwIfAborted();
    const found = await findInSysroot(sysroot, `${folder}/${path}`);
    if (found === undefined) return undefined;
    const content = await found.read();
    await mkdir(dirname(join(tree, folder, path)), { recursive: true });
    await writeFile(join(tree, folder, path), content, { mode: found.mode });
    return content;
  };
  // The indexes name more modules than the initrd has; modprobe needs them for dependencies.
  const texts = new Map<string, string>();
  for (const index of (await readdir(join(sysroot, folder))).filter((name) => name.startsWith('modules.')))
    texts.set(index, (await copy(index))?.toString('latin1') ?? '');
  const text = (name: string) => texts.get(name) ?? '';
  const known = new KernelModules({
    dep: text(indexFiles.dep),
    builtin: text(indexFiles.builtin),
    softdep: text(indexFiles.softdep),
    alias: text(indexFiles.alias),
  });
  for (const path of new Set(modules.flatMap((name) => known.withNeeds(name) ?? []))) {
    if (!/^[\w.,+~/-]+$/.test(path) || path.split('/').includes('..') || (await copy(path)) === undefined) {
      throw new UserError(`cannot make the initrd: the base lacks the kernel module ${plainText(path)}`);
    }
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

import { mkdir, symlink, writeFile } from 'node:fs/promises';
import { dirname, join, posix } from 'node:path';
import { hasCode, UserError } from '../host/errors.ts';
import { readSmallFile } from '../host/files.ts';
import { type LoaderNeeds, loaderNeeds } from './elf.ts';
import { findInSysroot } from './sysroot.ts';

/** Bytes of the largest program that is taken into an initrd. */
const largestProgram = 512 * 2 ** 20;

/**
 * Folders that the loader of Debian and Ubuntu searches by itself. Their glibc-hwcaps are left out: the plain library runs on
 * every processor, and what this machine has must not decide what goes into an initrd.
 */
const loaderFolders = [
  '/lib/x86_64-linux-gnu',
  '/usr/lib/x86_64-linux-gnu',
  '/lib64',
  '/usr/lib64',
  '/lib',
  '/usr/lib',
];

/** Copies programs of the base into the initrd's tree, with their libraries, loaders and the links on the way. */
export class ProgramInstaller {
  readonly #sysroot: string;
  readonly #tree: string;
  readonly #done = new Set<string>();

  constructor(sysroot: string, tree: string) {
    this.#sysroot = sysroot;
    this.#tree = tree;
  }

  /** A file of the base, by its absolute path. @throws UserError where the base lacks it or what it needs */
  async install(path: string): Promise<void> {
    if (!(await this.#fromBase(path))) {
      throw new UserError(`cannot make the initrd: the base has no ${path}`, {
        hint: 'templates/base/packages.txt says what a base must hold',
      });
    }
  }

  /** A file of this machine, put at an absolute path of the initrd, with the libraries that the base has for it. */
  async installExtra(file: string, path: string): Promise<Buffer> {
    const content = await readSmallFile(file, largestProgram);
    const needs = loaderNeeds(content, path);
    await this.#write(path.slice(1), content, 0o755);
    if (needs !== undefined) await this.#needs(needs, path);
    return content;
  }

  async #fromBase(path: string): Promise<boolean> {
    const found = await findInSysroot(this.#sysroot, path);
    if (found === undefined) return false;
    for (const link of found.links) {
      await this.#link(link.path, posix.relative(posix.dirname(link.path), link.to) || '.');
    }
    if (this.#done.has(found.path)) return true;
    this.#done.add(found.path);
    const content = await found.read();
    await this.#write(found.path, content, found.mode);
    const needs = loaderNeeds(content, found.path);
    if (needs !== undefined) await this.#needs(needs, `/${found.path}`);
    const interpreter = /^#! *(\/[^\s]+)/.exec(content.toString('latin1', 0, 256))?.[1];
    if (interpreter !== undefined) await this.install(interpreter);
    return true;
  }

  async #needs({ interpreter, libraries, searchPath }: LoaderNeeds, path: string): Promise<void> {
    if (interpreter !== undefined) await this.install(interpreter);
    const own = searchPath.map((folder) =>
      folder.replaceAll(/\$(?:ORIGIN|\{ORIGIN\})/g, posix.dirname(path)),
    );
    for (const library of libraries) await this.#library(library, own, path);
  }

  async #library(name: string, own: readonly string[], neededBy: string): Promise<void> {
    if (name.includes('/')) return this.install(name);
    for (const folder of [...own, ...loaderFolders]) {
      if (await this.#fromBase(`${folder}/${name}`)) return;
    }
    throw new UserError(`cannot make the initrd: ${neededBy} needs ${name}, which the base does not have`, {
      hint: 'use a build of the program for the release of the base, or one that is linked statically',
    });
  }

  async #write(path: string, content: Buffer, mode: number): Promise<void> {
    const target = join(this.#tree, path);
    await mkdir(dirname(target), { recursive: true });
    await writeFile(target, content, { mode });
  }

  async #link(path: string, target: string): Promise<void> {
    const at = join(this.#tree, path);
    await mkdir(dirname(at), { recursive: true });
    await symlink(target, at).catch((error: unknown) => {
      if (!hasCode(error, 'EEXIST')) throw error;
    });
  }
}

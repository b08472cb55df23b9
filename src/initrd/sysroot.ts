import { lstat, readFile, readlink } from 'node:fs/promises';
import { join, posix } from 'node:path';
import { resolveInside } from '../host/resolve-inside.ts';

/** A file of the unpacked base. */
export interface SysrootFile {
  /** Path in the base, without leading slash and without any link in it. */
  path: string;
  /** Links on the way to it: path without leading slash, and the path without leading slash that it leads to. */
  links: { path: string; to: string }[];
  /** Permission bits. */
  mode: number;
  read(): Promise<Buffer>;
}

/**
 * Finds a file of the unpacked base. Links are followed inside of it, as the CVM will: an absolute one starts at the base's own
 * root. So nothing of this machine is read, whatever links a base brings.
 * @returns undefined where the base has no such regular file
 */
export async function findInSysroot(sysroot: string, path: string): Promise<SysrootFile | undefined> {
  const links = new Map<string, string>();
  const resolved = await resolveInside(path, async (at) => {
    const target = await readlink(join(sysroot, at)).catch(() => undefined);
    if (target !== undefined) links.set(at, target);
    return target;
  });
  if (resolved === undefined) return undefined;
  const found = await lstat(join(sysroot, resolved)).catch(() => undefined);
  // A FIFO would never end, and what is no file is no program.
  if (!found?.isFile()) return undefined;
  const steps = [...links].map(async ([at, target]) => ({ path: at, to: await step(sysroot, at, target) }));
  return {
    path: resolved,
    links: await Promise.all(steps),
    mode: found.mode & 0o777,
    read: () => readFile(join(sysroot, resolved)),
  };
}

/** Where one link leads, the folders before its last name resolved; `''` is the base's root, above which nothing leads. */
async function step(sysroot: string, at: string, target: string): Promise<string> {
  const whole = target.startsWith('/') ? target : posix.join('/', posix.dirname(at), target);
  const folder = await resolveInside(posix.dirname(whole), (each) =>
    readlink(join(sysroot, each)).catch(() => undefined),
  );
  return posix.join('/', folder ?? '', posix.basename(whole)).slice(1);
}

import { mkdir, open, readdir, readFile, symlink } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { UserError } from '../../host/errors.ts';
import { folderBudget } from '../../host/folder-budget.ts';
import { run } from '../../host/run.ts';
import type { Bytes } from '../../host/tar/bytes.ts';
import { type EntryType, readable, type TarEntry } from '../../host/tar/entry.ts';
import { encodeEntry, padding, tarEnd } from '../../host/tar/write.ts';
import { writeSquashfs } from '../../host/write-squashfs.ts';
import { forSquashfs, LostAttributes } from './attributes.ts';
import { sizeBudget } from './budget.ts';
import { fateOf } from './clean.ts';
import type { Kernel } from './kernels.ts';
import { packageList } from './packages.ts';
import { readTreeFile, type Tree } from './tree.ts';

const moduleFolder = 'usr/lib/modules';
/** Written by the kernel's own build, not by depmod. */
const keptIndexes = ['modules.builtin', 'modules.builtin.modinfo', 'modules.order'];
/** Of a kernel image, and of one module. */
const largestKernel = 256 * 1024 * 1024;
const largestStatus = 64 * 1024 * 1024;
/** squashfs keeps times as unsigned 32-bit numbers. */
const latest = 2 ** 32 - 1;

export interface WriteOptions {
  /** Private folder for the modules while they are indexed. */
  work: string;
  target: string;
  warn: (text: string) => void;
  onBytes: (count: number) => void;
  signal?: AbortSignal | undefined;
}

/**
 * Writes a base.squashfs of a tree: cleaned, with one kernel as boot/vmlinuz, its modules cut to those that stay and indexed
 * anew, and the list of packages. Nothing of the tree becomes a file of the host but those modules.
 */
export async function writeBase(tree: Tree, kernel: Kernel, options: WriteOptions): Promise<void> {
  const lost = new LostAttributes();
  await writeSquashfs(baseTar(tree, kernel, lost, options), options.target, options.signal);
  for (const text of lost.warnings()) options.warn(text);
}

/** Whether a path of the tree goes into the base. */
function keeper(kernel: Kernel): (path: string, isFolder: boolean) => boolean {
  const ofKernel = `${moduleFolder}/${kernel.release}`;
  const folders = new Set([ofKernel]);
  for (const module of kernel.modules) {
    for (let at = dirname(module); at.length > ofKernel.length; at = dirname(at)) folders.add(at);
  }
  const files = new Set([...kernel.modules, ...keptIndexes.map((name) => `${ofKernel}/${name}`)]);
  return (path, isFolder) => {
    // A link in its place must not swallow what we put there.
    if (path === 'boot') return false;
    if (path.startsWith(`${moduleFolder}/`)) return isFolder ? folders.has(path) : files.has(path);
    return fateOf(path, isFolder) !== 'drop';
  };
}

async function* baseTar(
  tree: Tree,
  kernel: Kernel,
  lost: LostAttributes,
  { work, warn, onBytes, signal }: WriteOptions,
): Bytes {
  let machineId = false;
  const spend = sizeBudget();
  const spendOnFolders = folderBudget();
  yield header(added('boot', 'directory', 0o755));
  for await (const { entry: raw, body } of tree.entries(keeper(kernel))) {
    signal?.throwIfAborted();
    if (raw.type === 'other') continue;
    if (fateOf(raw.name, raw.type === 'directory') === 'empty') {
      machineId ||= raw.name === 'etc/machine-id';
      yield header(added(raw.name, 'file', 0o644));
      continue;
    }
    const { entry, lost: names } = forSquashfs(raw);
    spend(entry);
    spendOnFolders(entry.name);
    if (isOfModules(entry) && entry.size > largestKernel)
      throw new UserError(`cannot import the base: ${readable(entry.name)} is larger than any module`);
    for (const name of names) lost.add(name, entry.name);
    yield header({ ...entry, mtime: Math.min(latest, Math.max(0, entry.mtime)) });
    const content = counted(body, entry.size, onBytes);
    yield* isOfModules(entry) ? copied(content, join(work, entry.name)) : content;
    yield padding(entry.size);
  }
  for (const [name, content] of await indexed(kernel, work, signal)) yield* file(name, content);
  yield* file('boot/vmlinuz', await kernelImage(tree, kernel));
  const config = kernel.config && (await readTreeFile(tree, kernel.config, largestKernel));
  if (config) yield* file('boot/config', config);
  const status = await readTreeFile(tree, 'var/lib/dpkg/status', largestStatus);
  if (status === undefined)
    warn('it has no list of packages (/var/lib/dpkg/status): none goes with the base');
  yield* file('usr/share/cvm-packages.tsv', Buffer.from(packageList(status?.toString('utf8') ?? '')));
  if (!machineId) yield* file('etc/machine-id', Buffer.alloc(0));
  yield tarEnd();
}

async function kernelImage(tree: Tree, { image, release }: Kernel): Promise<Buffer> {
  const content = await readTreeFile(tree, image, largestKernel);
  if (content === undefined)
    throw new UserError(`cannot import the base: its kernel ${release} is larger than any kernel`);
  return content;
}

/** Modules that stay, and indexes that depmod reads. */
function isOfModules({ name, type }: TarEntry): boolean {
  return type === 'file' && name.startsWith(`${moduleFolder}/`);
}

function added(name: string, type: EntryType, mode: number, size = 0): TarEntry {
  const nobody = { uid: 0, gid: 0, mtime: 0, linkName: '', deviceMajor: 0, deviceMinor: 0 };
  return { name, type, mode, size, ...nobody, xattrs: new Map() };
}

function* file(name: string, content: Buffer): Generator<Buffer> {
  yield header(added(name, 'file', 0o644, content.length));
  yield content;
  yield padding(content.length);
}

/** Header of an entry for tar2sqfs. The leading `./` keeps a hostile first name from looking like a compressor's magic. */
function header(entry: TarEntry): Buffer {
  const name = entry.type === 'directory' ? `./${entry.name}/` : `./${entry.name}`;
  const linkName = entry.type === 'hard link' ? `./${entry.linkName}` : entry.linkName;
  const type = entry.type as Exclude<EntryType, 'other'>;
  return encodeEntry({ ...entry, type, name: entry.name === '' ? './' : name, linkName });
}

/** Passes a body on. One that is not as long as its header says would shift all that follows. */
async function* counted(body: Bytes, size: number, onBytes: (count: number) => void): Bytes {
  let have = 0;
  for await (const piece of body) {
    have += piece.length;
    if (have > size) break;
    onBytes(piece.length);
    yield piece;
  }
  if (have !== size) throw new Error(`a body of ${have} bytes in place of ${size}`);
}

/** Passes a body on, and writes it to a file of the work folder. */
async function* copied(body: Bytes, path: string): Bytes {
  await mkdir(dirname(path), { recursive: true });
  await using file = await open(path, 'wx');
  for await (const piece of body) {
    await file.writeFile(piece);
    yield piece;
  }
}

/** Indexes of the modules that stay, made by the host's depmod: nothing of the image runs. */
async function indexed(kernel: Kernel, work: string, signal?: AbortSignal): Promise<[string, Buffer][]> {
  const at = `${moduleFolder}/${kernel.release}`;
  await mkdir(join(work, at), { recursive: true });
  // depmod looks in /lib/modules or in /usr/lib/modules, by its version.
  await symlink('usr/lib', join(work, 'lib'));
  await run('depmod', ['--basedir', work, kernel.release], { signal });
  const names = (await readdir(join(work, at))).filter((name) => /^modules\.[a-z.]+$/.test(name)).sort();
  const fresh = names.filter((name) => !keptIndexes.includes(name));
  return Promise.all(
    fresh.map(
      async (name): Promise<[string, Buffer]> => [`${at}/${name}`, await readFile(join(work, at, name))],
    ),
  );
}

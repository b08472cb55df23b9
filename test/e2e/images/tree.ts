import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { lstatSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { collect } from '../../../src/host/tar/bytes.ts';
import { readTar } from '../../../src/host/tar/read.ts';
import { firstId } from '../../../src/workload/index.ts';

/** What a path of a container's file system is. Absent members could not be seen by who looked. */
export interface TreeEntry {
  type: 'file' | 'directory' | 'symlink' | 'fifo' | 'other';
  /** Permission bits, 0 to 07777; of symbolic links always 0777. */
  mode: number;
  uid: number;
  gid: number;
  mtime?: number;
  /** Of files: size in bytes and SHA-256. */
  size?: number;
  sha256?: string;
  /** Of symbolic links. */
  target?: string;
  /** `name=base64`, sorted. */
  xattrs?: string[];
  /** The first path in order that is the same file; the path itself where there is no other. */
  sameAs: string;
}

/** Entries by path, as a byte string without leading `/`; the root is `''`. */
export type Tree = Map<string, TreeEntry>;

type Node = Omit<TreeEntry, 'sameAs'> & { inode: string };

function withGroups(nodes: ReadonlyMap<string, Node>): Tree {
  const paths = [...nodes.keys()].sort();
  const first = new Map<string, string>();
  const tree: Tree = new Map();
  for (const path of paths) {
    const { inode, ...node } = nodes.get(path)!;
    if (!first.has(inode)) first.set(inode, path);
    tree.set(path, { ...node, sameAs: node.type === 'directory' ? path : first.get(inode)! });
  }
  return tree;
}

function below(nodes: Map<string, Node>, folder: string): string[] {
  return [...nodes.keys()].filter(
    (path) => path.startsWith(folder === '' ? '' : `${folder}/`) && path !== folder,
  );
}

/**
 * What overlayfs shows of squashfs layers, bottom first, by its own rules (Linux, filesystems/overlayfs.rst): a character
 * device 0:0 hides, a folder with `trusted.overlay.opaque=y` hides what is below it, folders merge, all else covers.
 */
export async function overlayTree(layers: readonly string[]): Promise<Tree> {
  const merged = new Map<string, Node>();
  for (const [number, layer] of layers.entries()) {
    const own = new Map<string, Node>();
    const hides: string[] = [];
    const opaque: string[] = [];
    const tar = execFileSync('sqfs2tar', [layer], { maxBuffer: 2 ** 30 });
    const root = execFileSync('rdsquashfs', ['--xattr', '/', layer], { encoding: 'utf8' });
    if (root.includes('trusted.overlay')) throw new Error('a layer with an opaque root');
    for await (const { entry, body } of readTar(Readable.from([tar]))) {
      const path = entry.name.replace(/\/+$/, '').replace(/^\.?\/?/, '');
      const content = (await collect(body, 2 ** 28))!;
      if (entry.type === 'character device') {
        if (entry.deviceMajor !== 0 || entry.deviceMinor !== 0) throw new Error(`${path} is a device`);
        hides.push(path);
        continue;
      }
      if (entry.type === 'hard link') {
        own.set(path, own.get(entry.linkName.replace(/^\.?\//, ''))!);
        continue;
      }
      const xattrs = [...entry.xattrs].filter(([name]) => name !== 'trusted.overlay.opaque');
      if (xattrs.length < entry.xattrs.size) opaque.push(path);
      const types = { file: 'file', directory: 'directory', symlink: 'symlink', fifo: 'fifo' } as const;
      const type = types[entry.type as keyof typeof types] ?? 'other';
      own.set(path, {
        // The layers hold the VM's numbers of the container's users.
        ...{ type, mode: entry.mode, uid: entry.uid - firstId, gid: entry.gid - firstId, mtime: entry.mtime },
        ...(type === 'file' ? { size: content.length, sha256: sha256(content) } : {}),
        ...(type === 'symlink' ? { target: entry.linkName } : {}),
        xattrs: xattrs.map(([name, value]) => `${name}=${value.toString('base64')}`).sort(),
        inode: `${number}:${path}`,
      });
    }
    for (const path of hides) for (const gone of [path, ...below(merged, path)]) merged.delete(gone);
    for (const path of opaque) for (const gone of below(merged, path)) merged.delete(gone);
    for (const [path, node] of own) {
      if (node.type !== 'directory') for (const gone of below(merged, path)) merged.delete(gone);
      merged.set(path, node);
    }
  }
  merged.delete('');
  return withGroups(merged);
}

const sha256 = (data: Buffer) => createHash('sha256').update(data).digest('hex');

/** Undoes mtree's `\ooo` and the like, to a byte string. */
function unvis(text: string): string {
  return text.replace(/\\(?:([0-7]{3})|(.))/g, (_, octal?: string, self?: string) =>
    octal === undefined ? self! : String.fromCharCode(Number.parseInt(octal, 8)),
  );
}

/**
 * What umoci unpacked, from the listing it makes (mtree(5)) and the inode numbers of its files.
 * @param bundle folder that `umoci unpack --rootless` made
 */
export function umociTree(bundle: string): Tree {
  const listing = readdirSync(bundle).find((name) => name.endsWith('.mtree'))!;
  const nodes = new Map<string, Node>();
  const folders: string[] = [];
  let defaults: Record<string, string> = {};
  for (const line of readFileSync(join(bundle, listing), 'latin1').split('\n')) {
    const [name, ...words] = line.trim().split(' ');
    if (name === undefined || name === '' || name.startsWith('#')) continue;
    const pairs = Object.fromEntries(
      words.map((word) => [word.slice(0, word.indexOf('=')), word.slice(word.indexOf('=') + 1)]),
    );
    if (name === '/set') {
      defaults = pairs;
      continue;
    }
    if (name === '..') {
      folders.pop();
      continue;
    }
    const values = { ...defaults, ...pairs };
    const path = [...folders.slice(1), unvis(name)].join('/');
    if (values.type === 'dir') folders.push(unvis(name));
    if (path === '.') continue;
    const types = { file: 'file', dir: 'directory', link: 'symlink', fifo: 'fifo' } as const;
    const type = types[values.type as keyof typeof types] ?? 'other';
    const owner = rootlessOwner(values['xattr.user.rootlesscontainers']);
    nodes.set(path, {
      ...{ type, mode: Number.parseInt(values.mode!, 8), ...owner },
      mtime: Math.floor(Number(values.tar_time)),
      ...(type === 'file' ? { size: Number(values.size), sha256: values.sha256digest! } : {}),
      ...(type === 'symlink' ? { target: unvis(values.link!) } : {}),
      xattrs: Object.entries(values)
        .filter(([key]) => key.startsWith('xattr.') && key !== 'xattr.user.rootlesscontainers')
        .map(([key, value]) => `${key.slice(6)}=${value}`)
        .sort(),
      inode: String(lstatSync(Buffer.from(join(bundle, 'rootfs', path), 'latin1'), { bigint: true }).ino),
    });
  }
  return withGroups(nodes);
}

/** The owner that a rootless umoci notes: protobuf, uid as field 1 and gid as field 2, 0 left out. */
function rootlessOwner(base64: string | undefined): { uid: number; gid: number } {
  const bytes = Buffer.from(base64 ?? '', 'base64');
  const owner = [0, 0];
  for (let at = 0; at < bytes.length; ) {
    const field = bytes[at++]! >> 3;
    let value = 0;
    for (let shift = 0; ; shift += 7) {
      const byte = bytes[at++]!;
      value += (byte & 0x7f) * 2 ** shift;
      if (byte < 0x80) break;
    }
    // 2^32 - 1: left as it was, which is root.
    owner[field - 1] = value === 0xffff_ffff ? 0 : value;
  }
  return { uid: owner[0]!, gid: owner[1]! };
}

const typeOfFormat = new Map([
  [0o100000, 'file'],
  [0o040000, 'directory'],
  [0o120000, 'symlink'],
  [0o010000, 'fifo'],
] as const);

/** What `list.sh` printed in a container; extended attributes it cannot see. */
export function listedTree(text: string): Tree {
  const nodes = new Map<string, Node>();
  const lines = text.split('\n');
  if (!lines.includes('list done'))
    throw new Error(`a listing that is not whole: ${lines.slice(-3).join(' | ')}`);
  for (let at = 0; at < lines.length; at++) {
    const line = lines[at]!;
    const node = /^node ([0-9a-f]+) (\d+) (\d+) (\d+) (-?\d+) (\d+:\d+) \.\/(.*)$/.exec(line);
    if (node !== null) {
      const [, format, uid, gid, size, mtime, inode, path] = node as unknown as string[];
      const bits = Number.parseInt(format!, 16);
      const type = typeOfFormat.get((bits & 0o170000) as 0o100000) ?? 'other';
      nodes.set(path!, {
        ...{ type, mode: bits & 0o7777, uid: Number(uid), gid: Number(gid), mtime: Number(mtime) },
        ...(type === 'file' ? { size: Number(size) } : {}),
        inode: inode!,
      });
    }
    const link = /^link \.\/(.*)$/.exec(line)?.[1];
    if (link !== undefined) nodes.get(link)!.target = lines[++at]!;
    const sum = /^([0-9a-f]{64}) {2}\.\/(.*)$/.exec(line);
    if (sum !== null) nodes.get(sum[2]!)!.sha256 = sum[1]!;
  }
  return withGroups(nodes);
}

/** All times in the images lie before it. */
const afterTheImages = 1_700_000_000;

/**
 * A tree as lines, to be compared with what umoci unpacked. A folder that no layer describes, or that lost a name, gets the time
 * of unpacking from umoci: no image says what it should be.
 */
export function linesOf(tree: Tree, unpacked: Tree, leaveOut: readonly (keyof TreeEntry)[] = []): string[] {
  return [...tree].map(([path, entry]) => {
    const { type, mtime = 0 } = unpacked.get(path) ?? entry;
    const without = type === 'directory' && mtime > afterTheImages ? [...leaveOut, 'mtime'] : leaveOut;
    const shown = Object.entries(entry).filter(([key]) => !(without as string[]).includes(key));
    return `${path}: ${JSON.stringify(Object.fromEntries(shown.sort()))}`;
  });
}

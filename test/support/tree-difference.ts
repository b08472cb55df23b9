import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { lstat, readdir, readlink } from 'node:fs/promises';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';

/**
 * Compares two folders entry by entry: kind, mode, owner, link, device, content; modification times where they are asked for.
 * @returns `<path>: <what differs>` of the first difference in the order of names, or undefined
 */
export async function firstDifference(
  first: string,
  second: string,
  options: { times?: boolean } = {},
): Promise<string | undefined> {
  return inFolder(first, second, '', options.times ?? false);
}

async function inFolder(a: string, b: string, below: string, times: boolean): Promise<string | undefined> {
  const [inA, inB] = await Promise.all([a, b].map(async (root) => new Set(await readdir(join(root, below)))));
  for (const name of [...new Set([...inA!, ...inB!])].sort()) {
    const path = join(below, name);
    if (!inB!.has(name)) return `${path}: only in the first`;
    if (!inA!.has(name)) return `${path}: only in the second`;
    const one = await facts(join(a, path), times);
    const other = await facts(join(b, path), times);
    for (const [fact, value] of Object.entries(one)) {
      if (value !== other[fact]) return `${path}: ${fact} ${value}, ${other[fact]}`;
    }
    const inner = one.kind === 'folder' ? await inFolder(a, b, path, times) : undefined;
    if (inner !== undefined) return inner;
  }
  return undefined;
}

async function facts(path: string, times: boolean): Promise<Record<string, string>> {
  const found = await lstat(path);
  const kind = found.isDirectory()
    ? 'folder'
    : found.isSymbolicLink()
      ? 'link'
      : found.isFile()
        ? 'file'
        : 'other';
  return {
    kind,
    mode: found.mode.toString(8),
    owner: `${found.uid}:${found.gid}`,
    ...(kind === 'link' ? { target: await readlink(path) } : {}),
    ...(kind === 'other' ? { device: String(found.rdev) } : {}),
    ...(kind === 'file' ? { size: String(found.size), sha256: await sha256(path) } : {}),
    ...(times ? { mtime: String(Math.floor(found.mtimeMs / 1000)) } : {}),
  };
}

async function sha256(path: string): Promise<string> {
  const hash = createHash('sha256');
  await pipeline(createReadStream(path), hash);
  return hash.digest('hex');
}

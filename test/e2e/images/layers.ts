import { execFileSync } from 'node:child_process';
import { type Item, layerOf } from '../../integration/workload/images.ts';

/** A layer as tar entries, or, where another tool writes it, as a tar stream whose names begin with a prefix. */
export type CaseLayer = Item[] | ((prefix: string) => Buffer);

/** A name that is not ASCII, as the byte string that a tar entry has. */
export const latin1 = (text: string) => Buffer.from(text).toString('latin1');

export const folder = (name: string, mode = 0o755, more: Item[1] = {}): Item => [
  `${name}/`,
  { type: 'directory', mode, ...more },
];
export const file = (name: string, body: string | Buffer = name, more: Item[1] = {}): Item => [
  name,
  { body, ...more },
];
export const program = (name: string, body: string | Buffer, mode = 0o755): Item => [name, { body, mode }];
export const symlink = (name: string, linkName: string): Item => [
  name,
  { type: 'symlink', linkName, mode: 0o777 },
];
export const hardLink = (name: string, linkName: string): Item => [name, { type: 'hard link', linkName }];
export const whiteout = (name: string): Item => [name.replace(/([^/]*)$/, '.wh.$1'), {}];
export const opaque = (name: string): Item => [`${name}/.wh..wh..opq`, {}];

/** GNU tar's own sparse format, which no other tool here writes. */
export function sparseLayer(prefix: string): Buffer {
  const script = `set -e; cd "$(mktemp -d)"; trap 'rm -rf "$PWD"' EXIT; mkdir -p "./$0"
    printf start > "./$0sparse"; truncate -s 3M "./$0sparse"; printf end >> "./$0sparse"; truncate -s 4M "./$0sparse"
    tar -S -b1 --format=posix --sparse-version=1.0 --owner=0 --group=0 --numeric-owner --mode=644 --mtime=@1600000000 \\
      --pax-option=delete=atime,delete=ctime,exthdr.name=x -cf - "$0sparse"`;
  return execFileSync('sh', ['-c', script, prefix], { maxBuffer: 2 ** 24 });
}

/** The tar stream of a layer, its names below a prefix such as `images/names/`. */
export function layerTar(layer: CaseLayer, prefix = ''): Buffer {
  if (typeof layer === 'function') return layer(prefix);
  return layerOf(
    ...layer.map(([name, more]): Item => {
      if (more?.type !== 'hard link') return [`${prefix}${name}`, more ?? {}];
      return [`${prefix}${name}`, { ...more, linkName: `${prefix}${more.linkName!.replace(/^[./]+/, '')}` }];
    }),
  );
}

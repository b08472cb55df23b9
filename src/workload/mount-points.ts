import { UserError } from '../host/errors.ts';
import type { LayerFolders } from './layer/folders.ts';
import { ancestorsOf } from './layer/names.ts';

/** Something of the image that is no folder, where a folder is mounted over or lies on the way to one. */
export interface NoFolder {
  /** Path in the image, without a leading slash. */
  path: string;
  kind: 'file' | 'link' | 'other';
  /** Number of the layer that has it, from 1 at the bottom. */
  layer: number;
}

type Layers = readonly Pick<LayerFolders, 'at'>[];

/** What the image has at a path through all layers, bottom first; every folder above it must be a folder. */
function standsAt(layers: Layers, path: string): NoFolder | 'folder' | 'nothing' {
  for (let index = layers.length - 1; index >= 0; index--) {
    const state = layers[index]!.at(path);
    if (state === 'untouched') continue;
    if (state === 'hidden') return 'nothing';
    return state === 'folder' ? 'folder' : { path, kind: state, layer: index + 1 };
  }
  return 'nothing';
}

/** The first of a path and the folders above it, from the top down, that is no folder, or undefined. */
function firstNoFolder(layers: Layers, path: string): NoFolder | undefined {
  for (const at of [...ancestorsOf(path)].reverse().concat(path)) {
    const found = at === '' ? 'folder' : standsAt(layers, at);
    if (found === 'nothing') return undefined;
    if (found !== 'folder') return found;
  }
  return undefined;
}

/**
 * What stands in the way of folders that are mounted over in the container.
 * @param paths of the folders, absolute
 */
export function noFoldersAt(layers: Layers, paths: readonly string[]): NoFolder[] {
  const found = new Map<string, NoFolder>();
  for (const path of paths) {
    const odd = firstNoFolder(layers, path.slice(1));
    if (odd !== undefined) found.set(odd.path, odd);
  }
  return [...found.values()];
}

/**
 * The volumes that the image declares and does not hold, without a leading slash. One that lies below a link or a file is left
 * out: the container then does without it, as before.
 */
export function missingFolders(layers: Layers, paths: readonly string[]): string[] {
  return paths
    .map((path) => path.slice(1))
    .filter((path) => firstNoFolder(layers, path) === undefined && standsAt(layers, path) === 'nothing');
}

/**
 * Refuses an image that has a link or a file where the container has a folder mounted. Followed from outside of the container, such
 * a link leads to any place of the VM.
 * @param found what the image has of {@link noFoldersAt}
 * @param mountPoints absolute paths of the folders that this container has mounted
 * @throws UserError that names path and layer
 */
export function refuseNoFolders(found: readonly NoFolder[], mountPoints: readonly string[]): void {
  for (const { path, kind, layer } of found) {
    const point = mountPoints.find((mounted) => `${mounted}/`.startsWith(`/${path}/`));
    if (point === undefined) continue;
    const what = { file: 'a file', link: 'a symbolic link', other: 'neither file nor folder' }[kind];
    throw new UserError(
      `cannot run the docker archive: /${path} is ${what} in layer ${layer} of the image, and must be a folder`,
      {
        hint: `${point} is mounted over in the VM: leave /${path} out of the image, or make it a folder`,
      },
    );
  }
}

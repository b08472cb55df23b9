import { UserError } from '../../host/errors.ts';
import { readable } from '../../host/tar/entry.ts';

const maximumComponent = 255;

/**
 * A name inside a layer without leading `/`, `./` and doubled slashes; `''` is the layer's root.
 * @param name byte string as in the tar stream
 * @throws UserError where the name could leave the layer, or no file system can hold it
 */
export function layerPath(name: string): string {
  const parts = name.split('/').filter((part) => part !== '' && part !== '.');
  for (const part of parts) {
    if (part === '..') throw refused(name, 'its name has a “..” in it');
    if (part.length > maximumComponent)
      throw refused(name, `a part of its name is longer than ${maximumComponent} bytes`);
    if (part.includes('\0')) throw refused(name, 'its name has a NUL in it');
  }
  return parts.join('/');
}

/** The folder a path lies in. */
export function parentOf(path: string): string {
  return path.slice(0, Math.max(0, path.lastIndexOf('/')));
}

/** Folders above a path, the nearest first, the root last. */
export function* ancestorsOf(path: string): Generator<string> {
  for (let at = path; at !== ''; ) {
    at = parentOf(at);
    yield at;
  }
}

/** A path inside a folder. */
export function inside(folder: string, name: string): string {
  return folder === '' ? name : `${folder}/${name}`;
}

/** The error for an entry that no honest image holds. */
export function refused(name: string, why: string): UserError {
  return new UserError(`cannot convert layer entry ${readable(name)}: ${why}`, {
    hint: 'the layer was not written by an image builder: rebuild the image and save it again',
  });
}

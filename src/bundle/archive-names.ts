import { UserError } from '../host/errors.ts';
import { bundleFiles } from './names.ts';

const entryPattern = /^([A-Za-z0-9][A-Za-z0-9._@+-]*)\/(?:(cvm_[0-9a-f]{12})\/([A-Za-z0-9._-]*))?$/;

/** Makes the error of an archive, or folder, that is no bundle. */
export function cannotOpen(path: string): (cause: string) => UserError {
  return (cause) => new UserError(`cannot open bundle ${path}: ${cause}`);
}

/**
 * Holds the entries of an archive to what a bundle is: only the ten known names, as regular files, once each, under one
 * `<name>/cvm_<id>/`.
 */
export class ArchiveNames {
  /** `cvm_<id>`, once an entry has named it. */
  folderName: string | undefined;
  readonly #cannot: (cause: string) => UserError;
  readonly #seen = new Set<string>();
  #prefix: string | undefined;

  /** @param archive its path in messages */
  constructor(archive: string) {
    this.#cannot = cannotOpen(archive);
  }

  /**
   * Name of the bundle's file that an entry is, or undefined for one of the two folders.
   * @throws UserError where it is anything else
   */
  accept({ path, type }: { path: string; type: string }): string | undefined {
    const shown = JSON.stringify(path);
    const [, name, folderName, file] = entryPattern.exec(path) ?? [];
    if (name === undefined) throw this.#cannot(`it holds ${shown}`);
    if (folderName !== undefined) {
      this.#prefix ??= `${name}/${folderName}`;
      this.folderName ??= folderName;
      if (this.#prefix !== `${name}/${folderName}`) throw this.#cannot('it holds more than one bundle');
    }
    if (file === undefined || file === '') {
      if (type !== 'Directory') throw this.#cannot(`${shown} is of type ${type}`);
      return undefined;
    }
    if (type !== 'File') throw this.#cannot(`${shown} is of type ${type}`);
    if (!bundleFiles.includes(file)) throw this.#cannot(`it holds ${shown}, which is no file of a bundle`);
    if (this.#seen.has(file)) throw this.#cannot(`it holds ${shown} twice`);
    this.#seen.add(file);
    return file;
  }

  /** Name of the folder, once all entries were seen. @throws UserError where a file is missing */
  complete(): string {
    if (this.folderName === undefined || this.#seen.size === 0) throw this.#cannot('it holds no bundle');
    const missing = bundleFiles.find((name) => !this.#seen.has(name));
    if (missing !== undefined) throw this.#cannot(`${missing} is missing`);
    return this.folderName;
  }
}

/**
 * What `user_config_plain` of builder.yml opens to the host: `<name>/<path>` is one file, `<name>/` and `<name>/<path>/`
 * are folders with all that is in them. What is not named stays sealed.
 */
export class OpenedFiles {
  readonly #entries: readonly string[];
  readonly #used = new Set<string>();

  constructor(entries: readonly string[] = []) {
    this.#entries = entries;
  }

  /** Whether a file or folder is opened. @param path below /user_config; that of a folder ends in a slash */
  opens(path: string): boolean {
    const found = this.#entries.filter((entry) =>
      entry.endsWith('/') ? path.startsWith(entry) : path === entry,
    );
    for (const entry of found) this.#used.add(entry);
    return found.length > 0;
  }

  /**
   * What is worth a warning: entries that fit nothing, though their folder is there. builder.yml is for all sites, and not every site has
   * each folder.
   * @param names below /user_config
   */
  warnings(names: readonly string[]): string[] {
    return this.#entries
      .filter((entry) => !this.#used.has(entry) && names.includes(entry.split('/', 1)[0]!))
      .map((entry) => {
        const hint = entry.endsWith('/') ? '' : '; the name of a folder ends in "/"';
        return `user_config_plain names ${entry}, and user_config has no such ${hint === '' ? 'folder' : 'file'}${hint}`;
      });
  }
}

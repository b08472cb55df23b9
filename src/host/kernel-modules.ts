/** `sev-guest.ko.xz` -> `sev_guest`: modprobe treats dashes and underscores alike. */
export function moduleName(path: string): string {
  return path
    .replace(/^.*\//, '')
    .replace(/\.ko(\.(xz|zst|gz))?$/, '')
    .replaceAll('-', '_');
}

/** The text files below /usr/lib/modules/<release> that say how modules hang together (modules.dep(5) and kin). */
export interface ModuleIndexes {
  /** modules.dep: `<path>: <paths of what it needs>`. */
  dep: string;
  /** modules.builtin: paths of what is part of the kernel. */
  builtin: string;
  /** modules.softdep; empty where there is none. */
  softdep: string;
  /** modules.alias; empty where there is none. */
  alias: string;
}

/** Files that hold {@link ModuleIndexes}. */
export const indexFiles: Readonly<Record<keyof ModuleIndexes, string>> = {
  dep: 'modules.dep',
  builtin: 'modules.builtin',
  softdep: 'modules.softdep',
  alias: 'modules.alias',
};

/** Looks modules up as modprobe does, without running it. */
export class KernelModules {
  readonly #paths = new Map<string, string>();
  readonly #needs = new Map<string, string[]>();
  readonly #builtin: Set<string>;
  readonly #soft = new Map<string, string[]>();
  readonly #aliases = new Map<string, string[]>();

  constructor({ dep, builtin, softdep, alias }: ModuleIndexes) {
    for (const line of dep.split('\n')) {
      const colon = line.indexOf(':');
      if (colon < 0) continue;
      const path = line.slice(0, colon);
      this.#paths.set(moduleName(path), path);
      this.#needs.set(path, words(line.slice(colon + 1)));
    }
    this.#builtin = new Set(builtin.split('\n').map(moduleName));
    for (const line of softdep.split('\n')) {
      const [keyword, name, ...rest] = words(line);
      if (keyword !== 'softdep' || name === undefined) continue;
      this.#soft.set(
        name.replaceAll('-', '_'),
        rest.filter((word) => word !== 'pre:' && word !== 'post:'),
      );
    }
    for (const line of alias.split('\n')) {
      const [keyword, name, target] = words(line);
      // Those with wildcards are for devices; by names without, modules ask for others.
      if (keyword !== 'alias' || name === undefined || target === undefined || /[*?[]/.test(name)) continue;
      const key = name.replaceAll('-', '_');
      const targets = this.#aliases.get(key);
      if (targets === undefined) this.#aliases.set(key, [target]);
      else targets.push(target);
    }
  }

  /**
   * Paths, below the folder of the release, of a module and all it needs, softly or not; none for what is part of the kernel.
   * @returns undefined where the kernel has no such module
   */
  withNeeds(wanted: string): string[] | undefined {
    const found: string[] = [];
    const seen = new Set<string>();
    let isThere = false;
    // Aliases and needs may lead round or fan out as they like: each name counts once, and none is a call of its own.
    for (const left = [wanted]; left.length > 0; ) {
      const name = left.pop()!.replaceAll('-', '_');
      if (seen.has(name)) continue;
      seen.add(name);
      const path = this.#paths.get(name);
      const isBuiltin = path === undefined && this.#builtin.has(name);
      isThere ||= path !== undefined || isBuiltin;
      if (isBuiltin) continue;
      if (path !== undefined) found.push(path);
      const others =
        path === undefined
          ? (this.#aliases.get(name) ?? [])
          : [...(this.#needs.get(path) ?? []).map(moduleName), ...(this.#soft.get(name) ?? [])];
      for (const other of others.toReversed()) left.push(other);
    }
    return isThere ? found : undefined;
  }
}

function words(line: string): string[] {
  return line.split(/\s+/).filter((word) => word !== '');
}

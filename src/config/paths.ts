import { isAbsolute, join, resolve } from 'node:path';

/** What a path of a configuration file is looked up against. */
export interface PathContext {
  /** Absolute. */
  workingDirectory: string;
  /** Absolute: the folder that holds the configuration file. */
  configDirectory: string;
  /** Absolute. */
  home: string;
  /** Whether a file or folder is there; injected so that this stays free of effects. */
  exists: (path: string) => boolean;
}

/** An absolute path, or why there is none. `problem` completes "docker_archive is …: ". */
export type ResolvedPath = { path: string } | { problem: string };

/**
 * Where an existing file or folder of a configuration file is. A relative path is looked up in the working
 * directory first, then beside the file: FLARE hands over a copy of the file in /tmp, so the file's own folder is
 * often not the one its author meant.
 */
export function resolvePath(value: string, context: PathContext): ResolvedPath {
  const expanded = expandHome(value, context.home);
  if ('problem' in expanded) return expanded;
  const tried = isAbsolute(expanded.path)
    ? [resolve(expanded.path)]
    : [
        ...new Set(
          [context.workingDirectory, context.configDirectory].map((folder) => resolve(folder, expanded.path)),
        ),
      ];
  const found = tried.find((path) => context.exists(path));
  return found === undefined ? { problem: `there is no ${tried.join(' and no ')}` } : { path: found };
}

/** Where a file or folder that need not exist yet (an output) is: relative paths lie in the working directory. */
export function resolveOutputPath(
  value: string,
  context: Pick<PathContext, 'workingDirectory' | 'home'>,
): ResolvedPath {
  const expanded = expandHome(value, context.home);
  return 'problem' in expanded ? expanded : { path: resolve(context.workingDirectory, expanded.path) };
}

/** Only `~` and `~/…`: another account's home is neither looked up nor taken for a folder named `~x`. */
function expandHome(value: string, home: string): ResolvedPath {
  if (value === '~') return { path: home };
  if (value.startsWith('~/')) return { path: join(home, value.slice(2)) };
  if (value.startsWith('~')) return { problem: 'only ~/ is understood: write the other home folder in full' };
  return { path: value };
}

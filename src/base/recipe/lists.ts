import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { UserError } from '../../host/errors.ts';
import type { Distribution } from './suites.ts';

/** Lists that a base may have beside `core`. */
export const optionalLists = ['nfs', 'gpu'] as const;
export type OptionalList = (typeof optionalLists)[number];

/** What a base is installed from, for one distribution. */
export interface PackageList {
  /** Package names, each once, in the lists' order. */
  packages: string[];
  /** Further archives, as lines of sources.list(5), each with its keyring. */
  archives: { line: string; keyring: string }[];
}

/** Files of the lists: `core.txt`, then those asked for in a fixed order, each once. */
export function listFiles(wanted: readonly OptionalList[]): string[] {
  return ['core', ...optionalLists.filter((name) => wanted.includes(name))].map((name) => `${name}.txt`);
}

/**
 * Reads the package lists of a recipe for one distribution.
 * @throws UserError where a list has nothing for that distribution.
 */
export async function readLists(
  recipe: string,
  wanted: readonly OptionalList[],
  distribution: Distribution,
): Promise<PackageList> {
  const packages: string[] = [];
  const archives: PackageList['archives'] = [];
  for (const file of listFiles(wanted)) {
    const found = parseList(await readFile(join(recipe, file), 'utf8'), file, distribution);
    if (found.packages.length === 0) {
      const name = file.replace('.txt', '');
      throw new UserError(
        `cannot build the base: the ${name} packages are not to be had for ${distribution}`,
        {
          hint: `templates/base/${file} says why, and where they are`,
        },
      );
    }
    packages.push(...found.packages);
    archives.push(...found.archives);
  }
  return { packages: [...new Set(packages)], archives };
}

/**
 * One list: a package a line, then in brackets the distribution where it is for one only; lines that begin with `deb` are archives.
 * @throws Error where a line has another form: a recipe is part of the program.
 */
export function parseList(text: string, file: string, distribution: Distribution): PackageList {
  const list: PackageList = { packages: [], archives: [] };
  for (const [index, whole] of text.split('\n').entries()) {
    const line = whole.replace(/(?:^|\s)#.*/, '').trim();
    if (line === '') continue;
    const archive = /^deb \[signed-by=(\/\S+)\] https:\/\/\S+ \S+( \S+)*$/.exec(line);
    const entry = /^([a-z0-9][a-z0-9.+-]+)(?:\s+\[(debian|ubuntu)\])?$/.exec(line);
    if (archive !== null) list.archives.push({ line, keyring: archive[1]! });
    else if (entry === null)
      throw new Error(`${file}:${index + 1}: neither a package nor an archive: ${line}`);
    else if ((entry[2] ?? distribution) === distribution) list.packages.push(entry[1]!);
  }
  return list;
}

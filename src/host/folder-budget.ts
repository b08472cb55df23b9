import { MalformedError } from './tar/bytes.ts';

/**
 * Names that tar2sqfs compares altogether: it keeps the names of a folder in a list, and goes through it for each part of each path. A
 * second of its work is some 10^8. This is a flat folder of 200,000 files, or a tree of millions.
 */
const mostComparisons = 2e10;

/**
 * Counts what the folders of an archive cost the program that makes a squashfs of it: a few megabytes can hold a folder of millions of
 * empty files, over which it would take hours.
 * @returns is told each path, without slashes at its ends; throws MalformedError at the first that is too much
 */
export function folderBudget(most: number = mostComparisons): (path: string) => void {
  /** Entries of each folder, by its path. */
  const sizes = new Map<string, number>();
  let spent = 0;
  return (path) => {
    let parent = '';
    for (let cut = path.indexOf('/'); ; cut = path.indexOf('/', cut + 1)) {
      const size = sizes.get(parent) ?? 0;
      spent += size;
      const child = cut < 0 ? path : path.slice(0, cut);
      if (cut < 0 || !sizes.has(child)) sizes.set(parent, size + 1);
      if (cut < 0) break;
      if (!sizes.has(child)) sizes.set(child, 0);
      parent = child;
    }
    if (spent > most)
      throw new MalformedError(`its folders hold too many entries: ${sizes.get(parent)} beside each other`);
  };
}

/** As many links as Linux follows on one path (path_resolution(7)). */
const mostLinks = 40;

/**
 * The path that a name leads to inside of a tree, every symbolic link followed as if the tree were the root: an absolute link
 * starts at the tree's root, and `..` never climbs above it. Nothing outside of the tree is ever named.
 * @param path with or without a leading slash
 * @param linkAt target of the link at a path of the tree (without leading slash), undefined where there is no link
 * @returns the path without a leading slash, `''` for the root; undefined where links lead round in a circle
 */
export async function resolveInside(
  path: string,
  linkAt: (path: string) => Promise<string | undefined> | string | undefined,
): Promise<string | undefined> {
  const left = path.split('/').reverse();
  const done: string[] = [];
  for (let links = 0; left.length > 0; ) {
    const part = left.pop()!;
    if (part === '' || part === '.') continue;
    if (part === '..') {
      done.pop();
      continue;
    }
    const target = await linkAt([...done, part].join('/'));
    if (target === undefined) {
      done.push(part);
      continue;
    }
    links += 1;
    if (links > mostLinks) return undefined;
    if (target.startsWith('/')) done.length = 0;
    left.push(...target.split('/').reverse());
  }
  return done.join('/');
}

/** The first version number in a program's words: digits with dots in between, such as `7.2.22`. */
export function versionIn(text: string): string | undefined {
  // Behind a letter only where that is a "v": not the 2 of "ext2".
  return /(?<![\w.])v?(\d+(?:\.\d+)+)/.exec(text)?.[1];
}

/** Below, equal to or above 0, as the first version is older, the same or newer. Missing parts count as 0. */
export function compareVersions(first: string, second: string): number {
  const [left, right] = [first, second].map((version) => version.split('.').map(Number));
  for (let index = 0; index < Math.max(left!.length, right!.length); index += 1) {
    const difference = (left![index] ?? 0) - (right![index] ?? 0);
    if (difference !== 0) return difference;
  }
  return 0;
}

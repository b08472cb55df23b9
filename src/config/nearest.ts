/**
 * The candidate that a misspelt word most likely meant, or undefined where none is near enough: at most
 * a third of the word's letters may differ. Upper and lower case, `-` and `_` count as the same.
 */
export function nearest(word: string, candidates: Iterable<string>): string | undefined {
  const given = fold(word);
  let best: string | undefined;
  let bestDistance = Math.max(1, Math.floor(given.length / 3)) + 1;
  for (const candidate of candidates) {
    // At least so many letters differ.
    if (Math.abs(fold(candidate).length - given.length) >= bestDistance) continue;
    const distance = editDistance(given, fold(candidate));
    if (distance < bestDistance) [best, bestDistance] = [candidate, distance];
  }
  return best;
}

/** Words longer than any of our names are cut: the distance costs the product of both lengths. */
const fold = (word: string) => word.slice(0, 64).toLowerCase().replaceAll('-', '_');

/** Insertions, deletions, replacements and swaps of neighbours (optimal string alignment distance). */
function editDistance(a: string, b: string): number {
  let beforeLast: number[] = [];
  let last = Array.from({ length: b.length + 1 }, (_, column) => column);
  for (let row = 1; row <= a.length; row++) {
    const current = [row];
    for (let column = 1; column <= b.length; column++) {
      const same = a[row - 1] === b[column - 1];
      let cost = Math.min(last[column]! + 1, current[column - 1]! + 1, last[column - 1]! + (same ? 0 : 1));
      const swapped = a[row - 1] === b[column - 2] && a[row - 2] === b[column - 1];
      if (row > 1 && column > 1 && swapped) cost = Math.min(cost, beforeLast[column - 2]! + 1);
      current.push(cost);
    }
    [beforeLast, last] = [last, current];
  }
  return last[b.length]!;
}

/** A line with its number in its file. */
export interface NumberedLine {
  line: number;
  text: string;
}

/** Lines of one text that stand in place of lines of another; either may be empty. */
export interface ChangedLines {
  expected: NumberedLine[];
  found: NumberedLine[];
}

/** Largest table of the comparison, entries. */
const largest = 2 ** 22;

/** Where two texts differ, line by line: what a longest common subsequence leaves over. */
export function compareLines(
  expected: readonly NumberedLine[],
  found: readonly NumberedLine[],
): ChangedLines[] {
  let from = 0;
  while (from < Math.min(expected.length, found.length) && expected[from]!.text === found[from]!.text)
    from += 1;
  let after = 0;
  while (
    after < Math.min(expected.length, found.length) - from &&
    expected[expected.length - 1 - after]!.text === found[found.length - 1 - after]!.text
  ) {
    after += 1;
  }
  const left = expected.slice(from, expected.length - after);
  const right = found.slice(from, found.length - after);
  if (left.length === 0 && right.length === 0) return [];
  const columns = right.length + 1;
  if ((left.length + 1) * columns > largest) return [{ expected: left, found: right }];

  // longest[i, j]: length of the longest common subsequence of left from i on and right from j on.
  const longest = new Uint32Array((left.length + 1) * columns);
  for (let i = left.length - 1; i >= 0; i -= 1) {
    for (let j = right.length - 1; j >= 0; j -= 1) {
      longest[i * columns + j] =
        left[i]!.text === right[j]!.text
          ? longest[(i + 1) * columns + j + 1]! + 1
          : Math.max(longest[(i + 1) * columns + j]!, longest[i * columns + j + 1]!);
    }
  }
  const changes: ChangedLines[] = [];
  let open: ChangedLines | undefined;
  const change = () => {
    open ??= { expected: [], found: [] };
    if (changes.at(-1) !== open) changes.push(open);
    return open;
  };
  let [i, j] = [0, 0];
  while (i < left.length || j < right.length) {
    if (i < left.length && j < right.length && left[i]!.text === right[j]!.text) {
      open = undefined;
      i += 1;
      j += 1;
    } else if (
      j === right.length ||
      (i < left.length && longest[(i + 1) * columns + j]! >= longest[i * columns + j + 1]!)
    ) {
      change().expected.push(left[i++]!);
    } else {
      change().found.push(right[j++]!);
    }
  }
  return changes;
}

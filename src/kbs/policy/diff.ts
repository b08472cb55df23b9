/** A run of lines that both texts share, or that only one of them has. */
interface Run {
  kind: ' ' | '-' | '+';
  lines: string[];
}

/**
 * Lines that two texts share and do not. Lines that occur once in both are the anchors (patience diff), so that
 * blocks of a policy stay whole; between anchors all is removed and added. Takes time in proportion to the texts,
 * whatever they have in common.
 */
export function diffLines(before: readonly string[], after: readonly string[]): Run[] {
  const runs: Run[] = [];
  const add = (kind: Run['kind'], lines: readonly string[]) => {
    if (lines.length === 0) return;
    const last = runs.at(-1);
    if (last?.kind === kind) last.lines.push(...lines);
    else runs.push({ kind, lines: [...lines] });
  };
  compare(before, after, add);
  return runs;
}

type Add = (kind: Run['kind'], lines: readonly string[]) => void;

function compare(before: readonly string[], after: readonly string[], add: Add): void {
  let start = 0;
  while (start < before.length && start < after.length && before[start] === after[start]) start += 1;
  let tail = 0;
  const shorter = Math.min(before.length, after.length) - start;
  while (tail < shorter && before.at(-1 - tail) === after.at(-1 - tail)) tail += 1;
  add(' ', before.slice(0, start));
  const left = before.slice(start, before.length - tail);
  const right = after.slice(start, after.length - tail);
  const anchors = left.length > 0 && right.length > 0 ? anchorsOf(left, right) : [];
  let [i, j] = [0, 0];
  for (const [a, b] of anchors) {
    compare(left.slice(i, a), right.slice(j, b), add);
    add(' ', [left[a]!]);
    [i, j] = [a + 1, b + 1];
  }
  if (anchors.length > 0) compare(left.slice(i), right.slice(j), add);
  else {
    add('-', left);
    add('+', right);
  }
  add(' ', before.slice(before.length - tail));
}

/** Pairs of indexes of lines that each text has once, the longest row of them that rises in both texts. */
function anchorsOf(left: readonly string[], right: readonly string[]): [number, number][] {
  const there = once(right);
  const pairs = [...once(left)].flatMap(([line, a]): [number, number][] => {
    const b = there.get(line);
    return b === undefined ? [] : [[a, b]];
  });
  const ends: number[] = [];
  const previous: number[] = [];
  for (const [index, [, b]] of pairs.entries()) {
    let low = 0;
    let high = ends.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (pairs[ends[middle]!]![1] < b) low = middle + 1;
      else high = middle;
    }
    previous[index] = low === 0 ? -1 : ends[low - 1]!;
    ends[low] = index;
  }
  const row: [number, number][] = [];
  for (let at = ends.at(-1) ?? -1; at !== -1; at = previous[at]!) row.push(pairs[at]!);
  return row.reverse();
}

/** Indexes of the lines that occur once, in the order of the text. */
function once(lines: readonly string[]): Map<string, number> {
  const seen = new Map<string, number>();
  for (const [index, line] of lines.entries()) seen.set(line, seen.has(line) ? -1 : index);
  return new Map([...seen].filter(([, index]) => index !== -1));
}

/**
 * A unified diff of two texts, with three lines of context; empty where they are equal.
 * @param name how the file is called in the two head lines.
 */
export function unifiedDiff(before: string, after: string, name: string): string {
  if (before === after) return '';
  const edits = diffLines(linesOf(before), linesOf(after)).flatMap(({ kind, lines }) =>
    lines.map((line) => ({ kind, line })),
  );
  const near = edits.map(() => false);
  for (const [index, { kind }] of edits.entries()) {
    if (kind !== ' ') near.fill(true, Math.max(0, index - 3), index + 4);
  }
  const text = [`--- ${name}`, `+++ ${name} (new)`];
  let [i, j] = [1, 1];
  for (let at = 0; at < edits.length; ) {
    if (!near[at]) {
      [i, j, at] = [i + 1, j + 1, at + 1];
      continue;
    }
    const stop = near.indexOf(false, at);
    const hunk = edits.slice(at, stop === -1 ? undefined : stop);
    const removed = hunk.filter(({ kind }) => kind !== '+').length;
    const added = hunk.filter(({ kind }) => kind !== '-').length;
    text.push(
      `@@ -${range(i, removed)} +${range(j, added)} @@`,
      ...hunk.map(({ kind, line }) => kind + line),
    );
    [i, j, at] = [i + removed, j + added, at + hunk.length];
  }
  return `${text.join('\n')}\n`;
}

/** A text without lines after its last line feed; one that does not end in a line feed says so, as diff(1) does. */
function linesOf(text: string): string[] {
  if (text === '') return [];
  const lines = text.split('\n');
  const last = lines.pop()!;
  return last === '' ? lines : [...lines, `${last}\n\\ No newline at end of file`];
}

function range(first: number, count: number): string {
  return count === 1 ? `${first}` : `${count === 0 ? first - 1 : first},${count}`;
}

/** Differences that are told one by one. */
const most = 200;

/**
 * What differs between two kernel command lines, a line for each parameter: `added init=/bin/sh`, `removed …`,
 * `changed panic=-1 to panic=0`. Parameters are told apart by what stands before `=`.
 */
export function compareCommandLines(expected: string, found: string): string[] {
  const [before, after] = [expected, found].map((line) => line.split(' ').filter((word) => word !== ''));
  const gone = without(before!, after!);
  const come = without(after!, before!);
  if (gone.length + come.length > most) return [`${gone.length} parameters removed, ${come.length} added`];
  const lines: string[] = [];
  for (const word of gone) {
    const at = come.findIndex((other) => nameOf(other) === nameOf(word));
    if (at === -1) lines.push(`removed ${word}`);
    else lines.push(`changed ${word} to ${come.splice(at, 1)[0]}`);
  }
  lines.push(...come.map((word) => `added ${word}`));
  if (lines.length > 0 || expected === found) return lines;
  const reordered = before!.some((word, index) => word !== after![index]);
  return [reordered ? 'the same parameters in another order' : 'the same parameters with other blanks'];
}

function nameOf(parameter: string): string {
  return parameter.split('=', 1)[0]!;
}

/** The words that the other list lacks, each as often as it lacks it. */
function without(words: readonly string[], others: readonly string[]): string[] {
  const left = new Map<string, number>();
  for (const word of others) left.set(word, (left.get(word) ?? 0) + 1);
  return words.filter((word) => {
    const count = left.get(word) ?? 0;
    left.set(word, count - 1);
    return count <= 0;
  });
}

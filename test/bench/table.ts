import type { Timing } from './timing.ts';

/** Two timings, and how many times as long as the other the first may take. */
export interface Comparison {
  ours: [what: string, timing: Timing];
  other: [what: string, timing: Timing];
  bound: number;
}

/** True where the medians keep to the bound. */
export function isWithin({ ours, other, bound }: Comparison): boolean {
  return ours[1].median <= bound * other[1].median;
}

const row = (what: string, cells: readonly string[]) =>
  `${what.padEnd(52)}${cells.map((cell) => cell.padStart(11)).join('')}`;

const timeRow = ([what, { median, min }]: [string, Timing]) =>
  row(`  ${what}`, [`${median.toFixed(2)} ms`, `${min.toFixed(2)} ms`]);

/** For each comparison a line for either timing, and one for their ratio with the bound and the verdict. */
export function table(comparisons: readonly Comparison[]): string {
  const lines = comparisons.flatMap((comparison) => {
    const { ours, other, bound } = comparison;
    const ratios = (['median', 'min'] as const).map((each) => (ours[1][each] / other[1][each]).toFixed(2));
    const verdict = `bound ${bound.toFixed(1)}: ${isWithin(comparison) ? 'within' : 'over'}`;
    return [timeRow(ours), timeRow(other), `${row('    ratio', ratios)}   ${verdict}`, ''];
  });
  return [row('', ['median', 'min']), ...lines].join('\n');
}

import type { PlanRow } from '../graph/plan.ts';
import { oneLine } from './text.ts';

/** The rows as a table: title, state, what it waits for. No newline at the end. */
export function renderPlan(rows: readonly PlanRow[]): string {
  const titles = new Map(rows.map(({ name, title }) => [name, oneLine(title)]));
  const cells = rows.map(({ name, needs, cached }) => [
    titles.get(name) ?? name,
    cached === undefined ? 'known when its inputs are' : cached ? 'cached' : 'to be made',
    needs.length === 0 ? '' : `after ${needs.map((need) => titles.get(need) ?? need).join(', ')}`,
  ]);
  const width = (column: number) => Math.max(...cells.map((row) => row[column]?.length ?? 0));
  return cells
    .map(([title = '', state = '', after = '']) =>
      `${title.padEnd(width(0))}  ${state.padEnd(width(1))}  ${after}`.trimEnd(),
    )
    .join('\n');
}

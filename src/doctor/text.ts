import { installCommand } from '../host/tools.ts';
import { clip, oneLine } from '../report/text.ts';
import type { CheckGroup, Result, Status } from './check.ts';

/** Longest line in bytes: more is not read. */
const longest = 1_000;

/** SGR parameters: green, cyan, yellow, red. */
const colours: Record<Status, number> = { ok: 32, info: 36, warning: 33, problem: 31 };

/** Whether a build would work on this machine. */
export function isUsable(results: readonly Result[]): boolean {
  return !results.some(({ status }) => status === 'problem');
}

/** Packages that would help, each once, sorted. */
export function packagesToInstall(results: readonly Result[]): string[] {
  return [...new Set(results.flatMap(({ packages = [] }) => packages))].sort();
}

/**
 * The results for people: one line a check below its group's title, hints below it, and a verdict at the end. Text from outside
 * stays on its line and cannot drive the terminal. No newline at the end.
 */
export function renderText(
  groups: readonly CheckGroup[],
  results: readonly Result[],
  { colour = false }: { colour?: boolean } = {},
): string {
  const paint = (code: number, text: string) => (colour ? `\x1b[${code}m${text}\x1b[0m` : text);
  const width = Math.max(0, ...results.map(({ title }) => title.length));
  const indent = `  ${' '.repeat('problem'.length)}  `;
  const lines = groups.flatMap((group) => {
    const own = results.filter((result) => result.group === group.id);
    if (own.length === 0) return [];
    return [
      paint(1, group.title),
      ...own.flatMap(({ status, title, says, details = [], hint }) => [
        `  ${paint(colours[status], status.padEnd('problem'.length))}  ${title.padEnd(width)}  ${shown(says)}`.trimEnd(),
        ...details.map((detail) => `${indent}${shown(detail)}`),
        ...(hint === undefined || status === 'ok' ? [] : [`${indent}${paint(36, 'hint:')} ${shown(hint)}`]),
      ]),
      '',
    ];
  });
  return [...lines, ...verdictLines(results, paint)].join('\n');
}

function verdictLines(results: readonly Result[], paint: (code: number, text: string) => string): string[] {
  const count = (status: Status) => {
    const found = results.filter((result) => result.status === status).length;
    return `${found} ${status}${found === 1 ? '' : 's'}`;
  };
  const counts = `${count('problem')}, ${count('warning')}`;
  const packages = packagesToInstall(results);
  return [
    isUsable(results)
      ? `${paint(colours.ok, 'usable')}: ${counts}`
      : `${paint(colours.problem, 'not usable')}: ${counts}`,
    ...(packages.length === 0
      ? []
      : [`${paint(36, 'hint:')} "cvm doctor --fix" runs: ${installCommand(packages)}`]),
  ];
}

const shown = (text: string) => clip(oneLine(text), longest);

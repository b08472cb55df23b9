import type { LintFinding } from './lint/finding.ts';
import { withManaged } from './policy-file.ts';
import { positionsOf } from './rego/positions.ts';
import { readModule } from './rego/statements.ts';
import type { PolicyParts } from './text.ts';

/**
 * What text around the managed part does to it: a string or bracket that is opened above and closed below swallows it,
 * a rule that only ends behind it changes its meaning. So each side must be readable alone, and all statements of the
 * managed part must be found in the whole.
 * @param managed the managed part that stands, or will stand, between them.
 * @returns findings with their places in the file as it is.
 */
export function seamFindings(parts: PolicyParts, managed: string): LintFinding[] {
  const { before, after } = parts;
  const positionAt = positionsOf(before + parts.managed + after);
  const behind = before.length + parts.managed.length;
  const found = (at: number, message: string, remedy: string): LintFinding => {
    return { severity: 'refuse', rule: 'syntax', ...positionAt(at), message, remedy };
  };
  const faults = [
    ...readModule(before).faults,
    ...readModule(after).faults.map(({ at, message }) => ({ at: behind + at, message })),
  ];
  if (faults.length > 0) {
    return faults.map(({ at, message }) =>
      found(
        at,
        `it cannot be read apart from the managed part: ${message}`,
        'end each rule on its own side of the marks',
      ),
    );
  }
  const whole = withManaged(parts, managed);
  const start = whole.length - after.length - managed.length;
  const present = new Set(readModule(whole).statements.map(placeOf(0)));
  const isWhole = readModule(managed)
    .statements.map(placeOf(start))
    .every((place) => present.has(place));
  if (isWhole) return [];
  const message = 'the text around the managed part changes what it means';
  return [found(before.length, message, 'end each rule on its own side of the marks')];
}

function placeOf(offset: number) {
  return ({ kind, start, end }: ReturnType<typeof readModule>['statements'][number]) =>
    `${kind} ${offset + start} ${offset + end}`;
}

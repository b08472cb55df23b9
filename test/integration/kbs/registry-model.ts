import { isDeepStrictEqual } from 'node:util';
import type { ImageRecord } from '../../../src/kbs/registry/record.ts';
import type { Operation, Outcome } from './registry-worker.ts';

/** What one process was to do, in its order, and what it reported. */
export interface Course {
  operations: readonly Operation[];
  /** Outcomes in the order of the operations. A process that was killed has fewer. */
  outcomes: readonly Outcome[];
}

type Images = readonly ImageRecord[];

/** One operation as it has to be where nothing else happens at the same time. */
function step(images: Images, operation: Operation): { images: Images; outcome: Outcome } {
  const refuse = (refused: string) => ({ images, outcome: { refused } });
  if (operation === 'hold') return { images, outcome: 'held' };
  if ('retire' in operation) {
    if (!images.some(({ id }) => id === operation.retire)) return refuse('cannot retire image');
    return { images: retire(images, [operation.retire]), outcome: 'retired' };
  }
  const { add } = operation;
  if (images.some(({ id }) => id === add.id)) return refuse('is registered already');
  const superseded = images
    .filter(
      ({ status, project, name }) => status === 'active' && project === add.project && name === add.name,
    )
    .filter(() => add.project !== undefined)
    .map(({ id }) => id);
  const left = retire(images, superseded);
  if (left.some(({ status, resourcePath }) => status === 'active' && resourcePath === add.resourcePath)) {
    return refuse('is the key of active image');
  }
  return { images: [...left, add], outcome: { superseded } };
}

const retire = (images: Images, ids: readonly string[]): Images =>
  images.map((image) => (ids.includes(image.id) ? { ...image, status: 'retired' } : image));

function isSame(outcome: Outcome, expected: Outcome): boolean {
  if (typeof outcome === 'object' && 'refused' in outcome) {
    return (
      typeof expected === 'object' && 'refused' in expected && outcome.refused.includes(expected.refused)
    );
  }
  return isDeepStrictEqual(outcome, expected);
}

/**
 * An order in which the operations, done one after the other, give the outcomes that were reported and end in these
 * images: every operation with an outcome is in it, after those that its process did before. The operation at which
 * a process was killed is in it or is not, and those that it did not come to are not.
 * @returns the operations in that order; undefined where there is none.
 */
export function serialOrder(courses: readonly Course[], end: Images): Operation[] | undefined {
  const dead = new Set<string>();

  function search(images: Images, at: readonly number[]): Operation[] | undefined {
    const key = JSON.stringify([at, images.map(({ id, status }) => [id, status])]);
    if (dead.has(key)) return undefined;
    if (
      courses.every(({ outcomes }, index) => at[index]! >= outcomes.length) &&
      isDeepStrictEqual(images, end)
    ) {
      return [];
    }
    for (const [index, { operations, outcomes }] of courses.entries()) {
      const position = at[index]!;
      const operation = operations[position];
      // One behind the last outcome may have happened as well: its process was killed before it could tell.
      if (operation === undefined || position > outcomes.length) continue;
      const next = step(images, operation);
      const outcome = outcomes[position];
      if (outcome !== undefined && !isSame(outcome, next.outcome)) continue;
      const rest = search(next.images, at.with(index, position + 1));
      if (rest !== undefined) return [operation, ...rest];
    }
    dead.add(key);
    return undefined;
  }

  return search(
    [],
    courses.map(() => 0),
  );
}

import type { Assumptions, Candidate, Candidates, Dimension } from './assumptions.ts';

/** One set of assumptions to measure. */
export interface Combination {
  assumptions: Assumptions;
  /** The dimensions in which it is not as expected. */
  changed: readonly Dimension[];
  /** Largest vCPU count that makes sense with it, if there is one. */
  mostVcpus: number;
}

/** Most assumptions that may fail at once, beside the number of vCPUs. */
export const mostDifferences = 3;

/**
 * How many differences at once, and how rare they are in sum: least first, and of as many the likely ones first. Two of
 * the rarest come last of all: there are many, and no other combination has their digest, so the order hides nothing.
 */
const rounds = [
  { differences: 0, rarity: 0 },
  { differences: 1, rarity: 0 },
  { differences: 1, rarity: 1 },
  { differences: 1, rarity: 2 },
  { differences: 2, rarity: 0 },
  { differences: 2, rarity: 1 },
  { differences: 2, rarity: 2 },
  { differences: 3, rarity: 0 },
  { differences: 3, rarity: 1 },
  { differences: 2, rarity: 3 },
];

/** Changing the first makes no difference to the digest where one of the others is changed as well. */
const moot: Partial<Record<Dimension, readonly Dimension[]>> = {
  // No hash table, no hashes.
  kernelHashes: ['kernel', 'initrd', 'commandLine'],
  // Other VMMs measure neither the CPU's signature nor FPU state.
  vmm: ['cpu', 'fpuState'],
};

/** Every combination to try, the expected one first. */
export function* combinations(candidates: Candidates): Generator<Combination> {
  const dimensions = Object.keys(candidates) as Dimension[];
  for (const { differences, rarity } of rounds) {
    for (const changed of subsets(dimensions, differences)) {
      if (isMoot(changed)) continue;
      for (const chosen of choices(changed, candidates, rarity)) yield combine(candidates, changed, chosen);
    }
  }
}

function isMoot(changed: readonly Dimension[]): boolean {
  return changed.some((dimension) => moot[dimension]?.some((other) => changed.includes(other)));
}

/** Subsets of so many elements, in the order of the elements. */
function* subsets<Element>(elements: readonly Element[], size: number): Generator<Element[]> {
  if (size === 0) {
    yield [];
    return;
  }
  for (const [index, first] of elements.entries()) {
    for (const rest of subsets(elements.slice(index + 1), size - 1)) yield [first, ...rest];
  }
}

/** One unexpected value for each dimension, of so much rarity in sum. */
function* choices(
  changed: readonly Dimension[],
  candidates: Candidates,
  rarity: number,
): Generator<Candidate<unknown>[]> {
  const [first, ...rest] = changed;
  if (first === undefined) {
    if (rarity === 0) yield [];
    return;
  }
  for (const candidate of candidates[first].slice(1)) {
    const left = rarity - (candidate.rarity ?? 0);
    if (left < 0) continue;
    for (const others of choices(rest, candidates, left)) yield [candidate, ...others];
  }
}

function combine(
  candidates: Candidates,
  changed: readonly Dimension[],
  chosen: readonly Candidate<unknown>[],
): Combination {
  const values: [string, unknown][] = Object.entries(candidates).map(([dimension, [expected]]) => [
    dimension,
    expected?.value,
  ]);
  for (const [index, dimension] of changed.entries()) values.push([dimension, chosen[index]!.value]);
  return {
    assumptions: Object.fromEntries(values) as unknown as Assumptions,
    changed,
    mostVcpus: Math.min(...chosen.map(({ mostVcpus }) => mostVcpus ?? Number.POSITIVE_INFINITY)),
  };
}

import { setImmediate } from 'node:timers/promises';
import type { Assumptions, Candidates, Dimension } from './assumptions.ts';
import { combinations, mostDifferences } from './combinations.ts';
import { Measurer } from './measurer.ts';

/** What was compared before a search ended. */
export interface Tried {
  /** Number of values for each assumption, the expected one included. */
  values: Record<Dimension, number>;
  /** vCPU counts: 1 to this. */
  vcpus: number;
  /** Assumptions that may differ at once, beside the vCPU count. */
  differences: number;
  /** Launch digests computed. */
  digests: number;
  /** False where there were more combinations than the search is allowed. */
  complete: boolean;
}

/** The combination that has the digest. */
export interface Match {
  assumptions: Assumptions;
  changed: readonly Dimension[];
  vcpus: number;
}

export interface SearchOptions {
  /** Largest count of vCPUs to try. */
  mostVcpus: number;
  /**
   * Pages that may be hashed before the search gives up; about half a million take a second. Each combination counts as
   * one page more, for many have nothing to hash.
   */
  mostPages?: number | undefined;
  signal?: AbortSignal | undefined;
}

/** Hashed in less than 15 seconds; a bundle by itself needs a third of that. */
const defaultMostPages = 7_000_000;

/** Pages between two looks at the signal. */
const pagesAtOnce = 50_000;

/** Searches the combinations, those with the fewest differences first, for one with this launch digest (48 bytes). */
export async function search(
  digest: Buffer,
  candidates: Candidates,
  options: SearchOptions,
): Promise<{ match: Match | undefined; tried: Tried }> {
  const { mostVcpus, mostPages = defaultMostPages, signal } = options;
  const measurer = new Measurer();
  const counts = Object.entries(candidates).map(([dimension, all]) => [dimension, all.length]);
  const tried: Tried = {
    values: Object.fromEntries(counts) as Tried['values'],
    vcpus: mostVcpus,
    differences: mostDifferences,
    digests: 0,
    complete: true,
  };
  let looked = 0;
  let combined = 0;
  for (const combination of combinations(candidates)) {
    const pages = tried.digests + measurer.sharedPages + combined;
    if (pages >= mostPages) return { match: undefined, tried: { ...tried, complete: false } };
    if (pages >= looked + pagesAtOnce) {
      await setImmediate();
      signal?.throwIfAborted();
      looked = pages;
    }
    combined += 1;
    let vcpus = 0;
    const most = Math.min(mostVcpus, combination.mostVcpus);
    for (const candidate of measurer.digests(combination.assumptions, most)) {
      vcpus++;
      tried.digests++;
      if (candidate.equals(digest)) {
        const { assumptions, changed } = combination;
        return { match: { assumptions, changed, vcpus }, tried };
      }
    }
  }
  return { match: undefined, tried };
}

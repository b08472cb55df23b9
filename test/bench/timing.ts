/** Something to time. */
export type Work = () => unknown;

/** What a work took, in milliseconds. */
export interface Timing {
  median: number;
  min: number;
}

/**
 * Times works by turns (A B, B A, A B, …), so that whatever else the machine does meets all of them alike, and none
 * always runs in the wake of the same other. Warm-up rounds are not counted, nor is `before`, which precedes each work.
 */
export async function timeByTurns<Name extends string>(
  works: Record<Name, Work>,
  { warmUp, rounds, before }: { warmUp: number; rounds: number; before?: () => void },
): Promise<Record<Name, Timing>> {
  const order = Object.keys(works) as Name[];
  const times = new Map(order.map((name) => [name, [] as number[]]));
  for (let round = 0; round < warmUp + rounds; round++) {
    for (const name of order) {
      before?.();
      const start = performance.now();
      await works[name]();
      if (round >= warmUp) times.get(name)!.push(performance.now() - start);
    }
    order.reverse();
  }
  const timings = order.map((name): [Name, Timing] => {
    const sorted = times.get(name)!.sort((a, b) => a - b);
    return [name, { median: sorted[Math.floor(sorted.length / 2)]!, min: sorted[0]! }];
  });
  return Object.fromEntries(timings) as Record<Name, Timing>;
}

/**
 * Starts `work` for each item in order, `atOnce` at a time. One that throws keeps no other from running; after an abort none is begun any
 * more, and the promise settles once those that run have ended.
 * @returns what became of each item that was begun
 */
export async function runPool<Item, Result>(
  items: readonly Item[],
  { atOnce, signal }: { atOnce: number; signal: AbortSignal },
  work: (item: Item) => Promise<Result>,
): Promise<Map<Item, PromiseSettledResult<Result>>> {
  const outcomes = new Map<Item, PromiseSettledResult<Result>>();
  const waiting = items.values();
  const runner = async () => {
    for (const item of waiting) {
      if (signal.aborted) return;
      const [outcome] = await Promise.allSettled([work(item)]);
      outcomes.set(item, outcome!);
    }
  };
  await Promise.all(Array.from({ length: Math.min(atOnce, items.length) }, runner));
  return outcomes;
}

import { setImmediate as turn } from 'node:timers/promises';
import type { Blocks } from './blocks.ts';

/** Reads between two looks at the signal. */
const stretch = 256;

/**
 * The same bytes, whose reads end when the signal does. Reads that a cache answers never leave the queue of promises, so that
 * now and then the event loop gets its turn: without it no signal would ever arrive.
 */
export function interruptible(blocks: Blocks, signal: AbortSignal | undefined): Blocks {
  let reads = 0;
  return {
    size: blocks.size,
    async read(offset, length) {
      reads += 1;
      if (reads % stretch === 0) {
        await turn();
        signal?.throwIfAborted();
      }
      return blocks.read(offset, length);
    },
  };
}

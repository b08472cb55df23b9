import { mkdir, watch } from 'node:fs/promises';
import { join } from 'node:path';
import { shellQuote } from '../../src/host/template.ts';

/** A peer in the VM's network, 10.0.2.102 port 111, by which a workload tells the test that it is so far. */
export interface Doorbell extends Disposable {
  /** For `hostile.networkOptions`. */
  networkOption: string;
}

/** @param rung called at the first connection */
export async function doorbell(work: string, rung: () => void): Promise<Doorbell> {
  const folder = join(work, 'doorbell');
  await mkdir(folder);
  const over = new AbortController();
  const events = watch(folder, { signal: over.signal });
  void (async () => {
    for await (const _ of events) return rung();
  })().catch((error: unknown) => {
    if (!over.signal.aborted) throw error;
  });
  return {
    networkOption: `guestfwd=tcp:10.0.2.102:111-cmd:busybox touch ${shellQuote(join(folder, 'rung'))}`,
    [Symbol.dispose]: () => over.abort(),
  };
}

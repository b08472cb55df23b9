/**
 * A failure to bring about. `slow`: waits before it does anything. `401`: the error body of a broker whose storage
 * fails (`PluginInternalError`). `500`: status 500 without the broker's body, as a proxy would. `drop`: closes the
 * connection before anything is done. `drop-answer`: does what was asked, then closes the connection in the middle of
 * the answer. `stale-nonce`: the challenge's nonce belongs to no open session.
 */
export interface Fault {
  kind: 'slow' | '401' | '500' | 'drop' | 'drop-answer' | 'stale-nonce';
  /** How long `slow` waits. */
  milliseconds?: number | undefined;
  /** Only so many matching requests; all of them unless given. */
  first?: number | undefined;
  /** What `<METHOD> <path>`, such as `POST /kbs/v0/auth`, must match; every request unless given. */
  path?: RegExp | undefined;
}

/** The faults that are still to happen. */
export class Faults {
  readonly #left: { fault: Fault; count: number }[];

  constructor(faults: readonly Fault[]) {
    this.#left = faults.map((fault) => ({ fault, count: fault.first ?? Number.POSITIVE_INFINITY }));
  }

  /** Those that befall this request. Each counts the requests it befell. */
  take(method: string, path: string): Fault[] {
    const request = `${method} ${path}`;
    // A pattern with the flag g would remember where it stopped.
    const hit = this.#left.filter(
      ({ fault, count }) => count > 0 && (fault.path === undefined || request.search(fault.path) >= 0),
    );
    for (const entry of hit) entry.count -= 1;
    return hit.map(({ fault }) => fault);
  }
}

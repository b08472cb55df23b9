import { readdirSync, readFileSync } from 'node:fs';

/**
 * Remembers every command line and environment that any process of this machine has while the watch lasts, as far as
 * this user may read them: `using watch = watchProcesses(20)`.
 */
export interface ProcessWatch extends Disposable {
  /** All of them so far, one a line; NUL between words. */
  text(): string;
}

/** @param interval milliseconds between two looks. */
export function watchProcesses(interval: number): ProcessWatch {
  const seen = new Set<string>();
  const look = () => {
    for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
      for (const what of ['cmdline', 'environ']) {
        try {
          seen.add(readFileSync(`/proc/${pid}/${what}`, 'latin1'));
        } catch {
          // Ended meanwhile, or another user's.
        }
      }
    }
  };
  const timer = setInterval(look, interval);
  look();
  return {
    text: () => [...seen].join('\n'),
    [Symbol.dispose]: () => clearInterval(timer),
  };
}

import { constants } from 'node:os';
import { exitStatus, UserError } from './errors.ts';

const handled = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
type Handled = (typeof handled)[number];

/** The status a shell reports for a process that ended by a signal: 128 + its number. */
function statusOf(signal: Handled): number {
  return signal === 'SIGINT' ? exitStatus.interrupted : 128 + constants.signals[signal];
}

/** Handling of SIGINT, SIGTERM and SIGHUP; disposing it restores the default. */
export interface Interruption extends Disposable {
  /** Aborted by the first signal; the reason is a UserError with status 130 (INT), 143 (TERM) or 129 (HUP). */
  readonly signal: AbortSignal;
}

/**
 * Turns the first SIGINT, SIGTERM or SIGHUP into an abort, so that work unwinds and cleans up. A second
 * one ends the process at once, through `process.exit` so that last-resort exit handlers still run.
 */
export function handleSignals(): Interruption {
  const controller = new AbortController();
  const onSignal = (signal: Handled) => {
    const status = statusOf(signal);
    if (controller.signal.aborted) process.exit(status);
    const message = signal === 'SIGINT' ? 'interrupted' : `interrupted by ${signal}`;
    controller.abort(new UserError(message, { status }));
  };
  for (const signal of handled) process.on(signal, onSignal);
  return {
    signal: controller.signal,
    [Symbol.dispose]() {
      for (const signal of handled) process.off(signal, onSignal);
    },
  };
}

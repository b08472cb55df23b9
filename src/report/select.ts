import { fstatSync } from 'node:fs';

/** What of a stream decides how to write to it. */
export interface StreamTraits {
  isTTY?: boolean;
  columns?: number;
}

/**
 * True where a live list can be drawn: a terminal that knows its width and can move its cursor, not a
 * continuous-integration log (`CI`), and not refused by `NO_TTY` or `TERM=dumb`.
 */
export function isInteractive(stdout: StreamTraits, env: NodeJS.ProcessEnv): boolean {
  const said = (name: string) => !['', '0', 'false'].includes(env[name] ?? '');
  return (
    stdout.isTTY === true &&
    (stdout.columns ?? 0) > 0 &&
    !said('CI') &&
    !said('NO_TTY') &&
    env.TERM !== 'dumb'
  );
}

/** True where colours may be written: a terminal, and `NO_COLOR` absent or empty (no-color.org). */
export function mayColour(stream: StreamTraits, env: NodeJS.ProcessEnv): boolean {
  return stream.isTTY === true && !env.NO_COLOR && env.TERM !== 'dumb';
}

/** Whether two streams end in the same file, pipe or terminal. False where that cannot be told. */
export function isOneFile(a: { fd?: unknown }, b: { fd?: unknown }): boolean {
  if (typeof a.fd !== 'number' || typeof b.fd !== 'number') return false;
  try {
    const [first, second] = [fstatSync(a.fd), fstatSync(b.fd)];
    return first.dev === second.dev && first.ino === second.ino;
  } catch {
    return false;
  }
}

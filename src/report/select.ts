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

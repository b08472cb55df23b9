/** Exit statuses of every command. `usage` covers bad arguments and bad configuration files. */
export const exitStatus = { ok: 0, failed: 1, usage: 2, interrupted: 130 } as const;

export interface UserErrorOptions {
  /** One line that says what to do; printed after the message as `hint: …`. */
  hint?: string;
  /** Process exit status; {@link exitStatus}.failed unless told otherwise. */
  status?: number;
  /** Lines printed below the message, e.g. `file:line:column: problem`. */
  details?: readonly string[];
  cause?: unknown;
}

/**
 * A failure the user can act on. The message reads *cannot <verb> <object>: <cause>* and is printed
 * without a stack trace; every other error is a bug and keeps its trace.
 */
export class UserError extends Error {
  readonly hint: string | undefined;
  readonly status: number;
  readonly details: readonly string[];

  constructor(message: string, options: UserErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'UserError';
    this.hint = options.hint;
    this.status = options.status ?? exitStatus.failed;
    this.details = options.details ?? [];
  }
}

/** The message of anything that was thrown. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** True for a Node system error with the given code, e.g. `ENOENT`. */
export function hasCode(error: unknown, code: string): boolean {
  return error instanceof Error && (error as NodeJS.ErrnoException).code === code;
}

import { UserError } from '../../host/errors.ts';

/** Why a request to a key broker did not do what it was meant to. */
export class KbsFailure extends UserError {
  /** Name of the meaning in one of the tables: transport.ts, refusals.ts. */
  readonly id: string;
  /** The cause alone, without *cannot …*. */
  readonly means: string;

  constructor(id: string, doing: string, means: string, hint: string, cause?: unknown) {
    super(`cannot ${doing}: ${means}`, { hint, cause });
    this.name = 'KbsFailure';
    this.id = id;
    this.means = means;
  }
}

/** True for a {@link KbsFailure} with one of the ids. */
export function failedBy(error: unknown, ...ids: string[]): error is KbsFailure {
  return error instanceof KbsFailure && ids.includes(error.id);
}

/**
 * Text of a server for people: short, and without any of the given secrets, which a proxy that echoes requests would
 * otherwise put on the terminal.
 */
export function quotable(text: string, secrets: readonly string[] = []): string {
  let safe = text.toWellFormed();
  for (const secret of secrets) if (secret !== '') safe = safe.replaceAll(secret, '[secret]');
  safe = safe.replaceAll(/\s+/g, ' ').trim();
  return safe.length > 300 ? `${safe.slice(0, 297)}...` : safe;
}

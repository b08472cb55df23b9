import { messageOf } from '../../host/errors.ts';

/**
 * What went wrong, by the names that end the `type` URL of an error body at the field's release; an era's `describe`
 * says how it names them. `PolicyRequest` is a body that holds no policy at all.
 */
export type RefusalType =
  | 'AdminAuth'
  | 'AttestationError'
  | 'JweError'
  | 'PluginInternalError'
  | 'PluginNotFound'
  | 'PolicyDeny'
  | 'PolicyEngine'
  | 'PolicyRequest'
  | 'RvpsError'
  | 'TokenNotFound'
  | 'TokenVerifierError';

/** An answer other than 200, with the key broker's error body. */
export class Refusal extends Error {
  readonly type: RefusalType;
  /** For the log of this process only; holds no secret. */
  readonly reason: string;
  /** What the client is told, where its era says more than the type. */
  readonly told: string;

  constructor(type: RefusalType, reason: string, told = reason) {
    super(`${type}: ${reason}`);
    this.name = 'Refusal';
    this.type = type;
    this.reason = reason;
    this.told = told;
  }
}

/**
 * The refusal for whatever goes wrong in the two steps of a handshake.
 * @param told what the client is told, where that repeats its own words.
 */
export function handshakeRefusal(step: 'Auth' | 'Attest', reason: string, told = reason): Refusal {
  return new Refusal('AttestationError', reason, `RCAR handshake ${step} failed: ${told}`);
}

/** What the web framework in front of the broker answers by itself: a status without the broker's error body. */
export class HttpRefusal extends Error {
  readonly status: 404 | 405 | 413 | 500;

  constructor(status: 404 | 405 | 413 | 500, reason: string) {
    super(reason);
    this.name = 'HttpRefusal';
    this.status = status;
  }
}

/** The message of an error, for the log; a parser's is left out, because it quotes what was parsed. */
export function reasonOf(error: unknown): string {
  if (error instanceof SyntaxError) return 'malformed';
  return error instanceof Refusal ? error.reason : messageOf(error);
}

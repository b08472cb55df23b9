/** The key broker's names for what went wrong, as they end the `type` URL of its error bodies. */
export type RefusalType =
  | 'AdminAuth'
  | 'AttestationError'
  | 'InvalidRequestPath'
  | 'JweError'
  | 'PluginInternalError'
  | 'PluginNotFound'
  | 'PolicyDeny'
  | 'PolicyEngine'
  | 'RvpsError'
  | 'TokenNotFound'
  | 'TokenVerifierError';

/** Texts that say no more than the type, as the real broker's do: a client learns nothing else. */
const details: Partial<Record<RefusalType, string>> = {
  JweError: 'JWE failed',
  PluginInternalError: 'Plugin internal error',
  PolicyDeny: 'Access denied by policy',
  PolicyEngine: 'Policy engine error',
  TokenNotFound: 'Attestation Token not found',
  TokenVerifierError: 'Token Verifier error',
};

/** An answer other than 200, with the key broker's error body. */
export class Refusal extends Error {
  readonly type: RefusalType;
  /** For the log of this process only; holds no secret. */
  readonly reason: string;
  /** 401 for everything but paths that lead nowhere, as the real broker answers. */
  readonly status: 401 | 404;

  constructor(type: RefusalType, reason: string) {
    super(details[type] ?? reason);
    this.name = 'Refusal';
    this.type = type;
    this.reason = reason;
    this.status = type === 'PluginNotFound' || type === 'InvalidRequestPath' ? 404 : 401;
  }

  /** The error body: a type URL and a text. */
  body(): string {
    const type = `https://github.com/confidential-containers/kbs/errors/${this.type}`;
    return JSON.stringify({ type, detail: this.message });
  }
}

/** The refusal for whatever goes wrong in the two steps of a handshake. */
export function handshakeRefusal(step: 'Auth' | 'Attest', reason: string): Refusal {
  return new Refusal('AttestationError', `Attestation error: RCAR handshake ${step} failed: ${reason}`);
}

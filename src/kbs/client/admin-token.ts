import type { KeyObject } from 'node:crypto';
import { signJwt } from '../jwt.ts';

/** Issuer and role of tokens that are made here, unless builder.yml names others. */
export const defaultIdentity = { iss: 'cvm-builder', role: 'image-builder' } as const;

export interface AdminTokenOptions {
  /** Ed25519 private key whose public half the key broker knows. */
  key: KeyObject;
  /** Seconds from `now` until the token ends. Short: a token is made for one request. */
  validSeconds?: number;
  issuer?: string;
  role?: string;
  /** Time in milliseconds since 1970. */
  now?: number;
}

/**
 * An administrator's bearer token (JWT, EdDSA) that every release of the key broker understands: `exp` and `role`
 * for the newer ones; no `aud`, which some releases refuse.
 */
export function adminToken(options: AdminTokenOptions): string {
  const {
    key,
    validSeconds = 120,
    issuer = defaultIdentity.iss,
    role = defaultIdentity.role,
    now = Date.now(),
  } = options;
  if (key.asymmetricKeyType !== 'ed25519') throw new TypeError('an administrator token needs an Ed25519 key');
  const iat = Math.floor(now / 1000);
  return signJwt('EdDSA', key, { iss: issuer, role, iat, nbf: iat, exp: iat + validSeconds });
}

import { messageOf } from '../../../host/errors.ts';
import { bearerToken, type Claims, keyWithin, openSigned } from '../jws.ts';
import { Refusal } from '../refusal.ts';
import type { AdminRules } from './rules.ts';

/** Seconds that two clocks may differ: the default of the jsonwebtoken crate. It does not look at `nbf` or `iat`. */
const leeway = 60;

/**
 * An administrator's token as v0.21 reads it: `exp` and `role` must be there, issuer and audience as configured, and
 * the role's access list must hold the request. A token with `aud` is refused where no audience is configured:
 * releases from v0.18 to v0.20 do so.
 * @param uri path and query of the request.
 * @param now seconds since 1970.
 * @throws Refusal `AdminAuth`
 */
export function checkMainAdmin(
  authorization: string | undefined,
  rules: AdminRules,
  now: number,
  uri: string,
): void {
  const token = bearerToken(authorization);
  if (token === undefined) {
    throw new Refusal('AdminAuth', 'no bearer token', 'Failed to parse HTTP Auth Bearer header');
  }
  const role = roleOf(verified(token, rules, now));
  if (!rules.access.some((rule) => rule.role === role && rule.endpoints.test(uri))) {
    throw new Refusal('AdminAuth', 'the role may not do this', 'Admin access denied: Role not allowed');
  }
}

function verified(token: string, rules: AdminRules, now: number): Claims {
  try {
    const signer = (header: Claims) =>
      rules.headerKeys && header.jwk !== undefined ? keyWithin(header) : rules.key;
    const { claims } = openSigned(token, signer);
    const { exp, iss, aud } = claims;
    if (typeof exp !== 'number') throw new Error('no exp');
    if (exp + leeway < now) throw new Error('expired');
    if (rules.issuer !== undefined && iss !== rules.issuer) throw new Error('another issuer');
    const audiences = Array.isArray(aud) ? aud : aud === undefined ? [] : [aud];
    if (rules.audience === undefined && audiences.length > 0)
      throw new Error('aud, and no audience is configured');
    if (rules.audience !== undefined && !audiences.includes(rules.audience))
      throw new Error('another audience');
    return claims;
  } catch (error) {
    const told = 'Admin access denied: Cannot verify token with any of the issuers';
    throw new Refusal('AdminAuth', messageOf(error), told);
  }
}

function roleOf({ role }: Claims): string {
  if (typeof role === 'string') return role;
  const told = 'Admin access denied: Missing required `role` claim in JWT';
  throw new Refusal('AdminAuth', 'no role', told);
}

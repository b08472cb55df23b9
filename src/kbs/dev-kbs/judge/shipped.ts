import { evidenceOf, type TokenClaims } from '../attestation-token.ts';
import { eras } from '../era/index.ts';

/**
 * Judges by a policy that a release ships, for machines without a policy engine: both eras' texts say the same.
 * @returns undefined where the text is none of them.
 */
export function allowedByShipped(policy: string, claims: TokenClaims): boolean | undefined {
  if (!Object.values(eras).some((era) => era.policy.shipped === policy)) return undefined;
  return evidenceOf(claims).sample === undefined;
}

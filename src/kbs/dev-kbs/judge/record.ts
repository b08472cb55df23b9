import type { ImageRecord } from '../../registry/record.ts';
import { evidenceOf, type TokenClaims } from '../attestation-token.ts';

/**
 * The policy's rule in our own words, for machines without a policy engine: the image that owns the path is active,
 * the digest is one of its own, debugging and migration are off.
 */
export function allowedByRecord(image: ImageRecord | undefined, claims: TokenClaims): boolean {
  const { snp } = evidenceOf(claims);
  if (image === undefined || image.status !== 'active' || snp === undefined) return false;
  if (snp.policy_debug_allowed !== false || snp.policy_migrate_ma !== false) return false;
  return image.digests.some(({ hex }) => hex === hexDigest(snp.measurement));
}

/** A launch digest as hex, whichever way a release writes it: 64 characters of base64, or 96 of hex. */
export function hexDigest(measurement: unknown): string {
  const text = String(measurement);
  return text.length === 64 ? Buffer.from(text, 'base64').toString('hex') : text;
}

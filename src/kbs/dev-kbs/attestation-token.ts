import { generateKeyPairSync } from 'node:crypto';
import { signJwt, verifyJwt } from '../jwt.ts';
import { type AttestRequest, type TeePublicKey, teePublicKey } from './evidence.ts';

/** How long a token lasts, in seconds; the real broker's default. */
const lifetime = 5 * 60;

/** Claims of an attestation token: the whole is a policy's `input`. */
export type TokenClaims = Record<string, unknown>;

/** The claims that SEV-SNP hardware would make for a VM with this launch digest and a strict guest policy. */
function snpClaims(launchDigest: string) {
  return {
    measurement: launchDigest,
    policy_abi_major: 0,
    policy_abi_minor: 0,
    policy_debug_allowed: false,
    policy_migrate_ma: false,
    policy_single_socket: false,
    policy_smt_allowed: true,
    platform_smt_enabled: true,
    platform_tsme_enabled: false,
    reported_tcb_bootloader: 255,
    reported_tcb_tee: 255,
    reported_tcb_snp: 255,
    reported_tcb_microcode: 255,
  };
}

/**
 * Signs attestation tokens with a key that lives as long as the server, and reads them back. The shape follows the
 * real broker's EAR tokens; where they would hold the claims of a sample TEE, these hold `snp` ones.
 */
export class TokenIssuer {
  readonly #pair = generateKeyPairSync('ec', { namedCurve: 'P-256' });

  /** @param now seconds since 1970. */
  issue(request: AttestRequest, launchDigest: string, now: number): string {
    const { kty, crv, x, y } = this.#pair.publicKey.export({ format: 'jwk' });
    const claims = {
      eat_profile: 'tag:github.com,2024:confidential-containers/Trustee',
      iat: now,
      exp: now + lifetime,
      'ear.verifier-id': { build: 'cvm-builder development KBS', developer: 'cvm-builder' },
      submods: {
        cpu0: {
          'ear.status': 'contraindicated',
          'ear.trustworthiness-vector': { hardware: 97, executables: 33, configuration: 36 },
          'ear.appraisal-policy-id': 'default',
          'ear.veraison.annotated-evidence': {
            snp: snpClaims(launchDigest),
            report_data: request['tee-evidence'].primary_evidence.report_data,
            runtime_data_claims: {
              nonce: request['runtime-data'].nonce,
              'tee-pubkey': request['runtime-data']['tee-pubkey'],
              'additional-evidence': request['tee-evidence'].additional_evidence,
            },
            init_data_claims: null,
          },
        },
      },
    };
    return signJwt('ES256', this.#pair.privateKey, claims, { jwk: { alg: 'ES256', kty, crv, x, y } });
  }

  /** The claims of one of this issuer's own tokens. @throws Error with the reason. */
  verify(token: string, now: number): TokenClaims {
    return verifyJwt(token, { algorithm: 'ES256', key: this.#pair.publicKey, now, leeway: 0 });
  }
}

interface AnnotatedEvidence {
  snp?: Record<string, unknown>;
  runtime_data_claims?: Record<string, unknown>;
}

/** The evidence inside of a token's claims. */
export function evidenceOf(claims: TokenClaims): AnnotatedEvidence {
  const { cpu0 } = claims.submods as { cpu0: Record<string, unknown> };
  return cpu0['ear.veraison.annotated-evidence'] as AnnotatedEvidence;
}

/** The guest's key inside of a token's claims. */
export function keyOf(claims: TokenClaims): TeePublicKey {
  return teePublicKey.parse(evidenceOf(claims).runtime_data_claims?.['tee-pubkey']);
}

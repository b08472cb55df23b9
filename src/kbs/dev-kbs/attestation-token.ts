import { generateKeyPairSync } from 'node:crypto';
import { signJwt, verifyJwt } from '../jwt.ts';
import { type AttestRequest, type TeePublicKey, teePublicKey } from './evidence.ts';
import { jwtAlgorithm, keyWithin, openSigned } from './jws.ts';

/** How long a token lasts, in seconds; the real broker's default. */
const lifetime = 5 * 60;

/**
 * Which attestation tokens are believed: the broker's `own`; any that is signed by the key in its `header`
 * (`insecure_key`, `insecure_header_jwk`); or, besides its own, any RS384 token that is signed by the key among its
 * `claims`, as the verifier "CoCo" of early releases did where no certificate was named.
 */
export type TokenTrust = 'own' | 'header' | 'claims';

/** Claims of an attestation token: the whole is a policy's `input`. */
export type TokenClaims = Record<string, unknown>;

/**
 * The claims that SEV-SNP hardware would make for a VM with this launch digest and a strict guest policy.
 * @param measurement the digest in the encoding of the broker's release.
 */
export function snpClaims(measurement: string): TokenClaims {
  return {
    snp: {
      measurement,
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
    },
  };
}

/** The claims that the real broker makes of evidence of its `sample` TEE. */
export function sampleClaims(request: AttestRequest): TokenClaims {
  const { svn } = request['tee-evidence'].primary_evidence;
  return { sample: { svn, launch_digest: 'abcde', platform_version: { major: 1, minor: 4 } } };
}

/**
 * Signs attestation tokens with a key that lives as long as the server, and reads them back. The shape follows the
 * real broker's EAR tokens.
 */
export class TokenIssuer {
  readonly #pair = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  readonly #trust: TokenTrust;

  constructor(trust: TokenTrust = 'own') {
    this.#trust = trust;
  }

  /**
   * @param evidence claims of the TEE, under its name.
   * @param now seconds since 1970.
   */
  issue(request: AttestRequest, evidence: TokenClaims, now: number): string {
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
            ...evidence,
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

  /** The claims of a token that is to be trusted. @throws Error with the reason. */
  verify(token: string, now: number): TokenClaims {
    if (this.#trust === 'header') return inTime(openSigned(token, keyWithin).claims, now);
    if (this.#trust === 'claims' && jwtAlgorithm(token) === 'RS384') return believedByItsClaims(token, now);
    return verifyJwt(token, { algorithm: 'ES256', key: this.#pair.publicKey, now, leeway: 0 });
  }
}

/** What kbs/src/token/coco.rs of early releases asks for: `exp` and `nbf` without tolerance, the key's own `alg`. */
function believedByItsClaims(token: string, now: number): TokenClaims {
  const { claims } = openSigned(token, (_, { jwk }) => {
    if ((jwk as { alg?: unknown } | undefined)?.alg !== 'RS384')
      throw new Error('its key is for another algorithm');
    return keyWithin({ jwk });
  });
  if (typeof claims.nbf === 'number' && claims.nbf > now) throw new Error('not valid yet');
  return inTime(claims, now);
}

function inTime(claims: TokenClaims, now: number): TokenClaims {
  if (typeof claims.exp !== 'number' || claims.exp <= now) throw new Error('expired');
  return claims;
}

interface AnnotatedEvidence {
  snp?: Record<string, unknown>;
  sample?: Record<string, unknown>;
  runtime_data_claims?: Record<string, unknown>;
}

/** The evidence inside of a token's claims; empty where there is none, as a forged token may have it. */
export function evidenceOf(claims: TokenClaims): AnnotatedEvidence {
  const { cpu0 } = asObject(claims.submods);
  return asObject(asObject(cpu0)['ear.veraison.annotated-evidence']);
}

function asObject(value: unknown): Record<string, unknown> {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
}

/** The guest's key inside of a token's claims. */
export function keyOf(claims: TokenClaims): TeePublicKey {
  return teePublicKey.parse(evidenceOf(claims).runtime_data_claims?.['tee-pubkey']);
}

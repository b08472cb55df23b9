import { generateKeyPair, generateKeyPairSync, type KeyObject, randomBytes } from 'node:crypto';
import { promisify } from 'node:util';
import { signJwt } from '../jwt.ts';

type Claims = Record<string, unknown>;

/**
 * Ten years in seconds. What a forged token says of time must never be why it is refused, so it ends far away and
 * does not say when it began: a KBS behind a proxy that writes its own Date header does not tell us its clock.
 */
const longTime = 10 * 365 * 86_400;

/**
 * Attestation tokens as KBSs issue them, made by nobody in particular: each brings the key that signed it along. A KBS
 * that believes one would believe any other claims too. These are of a guest whose digest is all zeros. One is
 * ES256 with its key in the header. The other is RS384, with its key there and among the claims, where the
 * verifier "CoCo" of early releases looked (trustee, kbs/src/token/coco.rs); that one takes no other algorithm.
 * @param now seconds since 1970.
 */
export async function forgedTokens(now: number): Promise<[es256: string, rs384: string]> {
  const ec = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const rsa = await promisify(generateKeyPair)('rsa', { modulusLength: 2048 });
  const [ecJwk, rsaJwk] = [publicJwk(ec.publicKey, 'ES256'), publicJwk(rsa.publicKey, 'RS384')];
  const rsaGuest = { ...rsaJwk, alg: 'RSA1_5' };
  const old = { jwk: rsaJwk, 'tee-pubkey': rsaGuest };
  return [
    signJwt('ES256', ec.privateKey, guestClaims(now, { ...ecJwk, alg: 'ECDH-ES+A256KW' }), { jwk: ecJwk }),
    signJwt(
      'RS384',
      rsa.privateKey,
      {
        ...guestClaims(now, rsaGuest),
        ...old,
        customized_claims: { runtime_data: { 'tee-pubkey': rsaGuest } },
      },
      { jwk: rsaJwk },
    ),
  ];
}

/**
 * An administrator's token by a key that no KBS knows, which its own header vouches for: believed where
 * `insecure_header_jwk` is on (from v0.21).
 * @param identity what a KBS compares besides: `iss`, `role`, `aud`.
 * @param now seconds since 1970.
 */
export function selfMadeAdminToken(identity: Readonly<Claims>, now: number): string {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const claims = { ...identity, exp: now + longTime };
  return signJwt('ES256', privateKey, claims, { jwk: publicJwk(publicKey, 'ES256') });
}

/** An administrator's token by a key that no KBS knows, of the kind that every release takes. */
export function strangersAdminToken(identity: Readonly<Claims>, now: number): string {
  return signJwt('EdDSA', generateKeyPairSync('ed25519').privateKey, { ...identity, exp: now + longTime });
}

/** The public half alone. */
function publicJwk(key: KeyObject, alg: string): Claims {
  return { alg, ...key.export({ format: 'jwk' }) };
}

function guestClaims(now: number, guestKey: Claims): Claims {
  const snp = {
    measurement: '0'.repeat(96),
    policy_debug_allowed: false,
    policy_migrate_ma: false,
    reported_tcb_bootloader: 0,
    reported_tcb_tee: 0,
    reported_tcb_snp: 0,
    reported_tcb_microcode: 0,
  };
  return {
    eat_profile: 'tag:github.com,2024:confidential-containers/Trustee',
    exp: now + longTime,
    'ear.verifier-id': { build: 'cvm kbs check', developer: 'cvm-builder' },
    submods: {
      cpu0: {
        'ear.status': 'affirming',
        'ear.trustworthiness-vector': { configuration: 2, executables: 3, hardware: 2 },
        'ear.appraisal-policy-id': 'default',
        'ear.veraison.annotated-evidence': {
          snp,
          report_data: '',
          runtime_data_claims: {
            nonce: randomBytes(32).toString('base64'),
            'tee-pubkey': guestKey,
            'additional-evidence': '',
          },
          init_data_claims: null,
        },
      },
    },
  };
}

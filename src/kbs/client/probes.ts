import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { signJwt } from '../jwt.ts';
import { adminToken } from './admin-token.ts';
import type { KbsReply, KbsRequest } from './connection.ts';
import type { Kbs } from './kbs.ts';
import { type ErrorBody, errorBody } from './refusals.ts';
import { apiRoot } from './requests.ts';

/**
 * The requests of a check. Each is harmless even where the KBS obeys it: what it asks for never exists, and
 * what it stores cannot be stored. Beside each stands why.
 */
export interface Probes {
  /**
   * Asks for a resource with no credential. Harmless: nothing has the random name, and a read changes
   * nothing.
   */
  readonly asNobody: KbsRequest;
  /**
   * Asks for it with a token that its own header vouches for. Harmless for the same reasons; its key is
   * thrown away.
   */
  withForgedToken(now: number): KbsRequest;
  /** Deletes the resource that nobody has. */
  readonly deletion: KbsRequest;
  /**
   * Stores a policy whose text is not base64url: there is nothing to store, whatever the KBS thinks of the
   * sender.
   */
  readonly policy: KbsRequest;
  /** The same for the attestation policy, under an id that no release allows. */
  readonly attestationPolicy: KbsRequest;
  /** Stores nothing (no bytes) at a path that no release allows: its last segment begins with a dot. */
  readonly resource: KbsRequest;
  /** Registers reference values by a message of a version that does not exist. */
  readonly referenceValues: KbsRequest;
}

/** @param resourcePrefix `<repository>/<type>` of the disk keys. */
export function makeProbes(resourcePrefix: string): Probes {
  const nobodys = `cvm-check-${randomBytes(12).toString('hex')}`;
  const absent = `${apiRoot}/resource/${resourcePrefix}/${nobodys}`;
  const notBase64 = '%%%';
  return {
    asNobody: { method: 'GET', path: absent },
    withForgedToken: (now) => ({ method: 'GET', path: absent, token: forgedToken(now) }),
    deletion: { method: 'DELETE', path: absent },
    policy: post('resource-policy', { policy: notBase64 }),
    attestationPolicy: post('attestation-policy', { type: 'rego', policy_id: '/', policy: notBase64 }),
    resource: {
      method: 'POST',
      path: `${apiRoot}/resource/${resourcePrefix}/.${nobodys}`,
      body: new Uint8Array(0),
    },
    referenceValues: post('reference-value', { version: '0.0.0', type: 'sample', payload: '' }),
  };
}

function post(path: string, body: object): KbsRequest {
  return {
    method: 'POST',
    path: `${apiRoot}/${path}`,
    body: Buffer.from(JSON.stringify(body)),
    contentType: 'application/json',
  };
}

/**
 * An attestation token as a KBS issues them, made by nobody in particular: its header holds the key that
 * signed it. A KBS that believes it would believe any other claims too. These are of a guest whose digest is
 * all zeros.
 * @param now seconds since 1970 by the KBS's clock: a token that is refused for its age would prove nothing.
 */
export function forgedToken(now: number): string {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const { kty, crv, x, y } = publicKey.export({ format: 'jwk' });
  const snp = {
    measurement: '0'.repeat(96),
    policy_debug_allowed: false,
    policy_migrate_ma: false,
    reported_tcb_bootloader: 0,
    reported_tcb_tee: 0,
    reported_tcb_snp: 0,
    reported_tcb_microcode: 0,
  };
  const claims = {
    eat_profile: 'tag:github.com,2024:confidential-containers/Trustee',
    iat: now - 60,
    nbf: now - 60,
    exp: now + 240,
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
            'tee-pubkey': { kty, crv, alg: 'ECDH-ES+A256KW', x, y },
            'additional-evidence': '',
          },
          init_data_claims: null,
        },
      },
    },
  };
  return signJwt('ES256', privateKey, claims, { jwk: { alg: 'ES256', kty, crv, x, y } });
}

/** An administrator's token by a key that no KBS knows. */
export function strangersAdminToken(nowMs: number): string {
  return adminToken({ key: generateKeyPairSync('ed25519').privateKey, now: nowMs });
}

/** What a KBS made of an administrator's request that could not succeed. */
export type Admission = 'refused' | 'admitted' | 'unclear';

/** Whether the sender was let in: an answer about the request itself is given to administrators only. */
export function admission(reply: KbsReply): Admission {
  const error = errorBody(reply);
  if (reply.status === 200) return 'admitted';
  if (error === undefined || reply.status !== 401) return 'unclear';
  if (error.variant.startsWith('Admin')) return 'refused';
  return isAboutTheRequest(error) ? 'admitted' : 'unclear';
}

function isAboutTheRequest({ variant }: ErrorBody): boolean {
  return /^(?:Policy|ParsePolicy|Rvps|Plugin|Attestation|Json|Base64|Decode|Serde)/.test(variant);
}

/**
 * The milliseconds by which the KBS's clock is ahead of ours, to a second; undefined where it does not tell
 * the time.
 */
export async function clockDifference(
  kbs: Kbs,
  request: KbsRequest,
): Promise<{ reply: KbsReply; ahead?: number }> {
  const before = Date.now();
  const reply = await kbs.probe(request);
  const middle = (before + Date.now()) / 2;
  const theirs = Date.parse(reply.date ?? '');
  return Number.isNaN(theirs) ? { reply } : { reply, ahead: Math.round(theirs + 500 - middle) };
}

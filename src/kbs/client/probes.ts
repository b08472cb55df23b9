import { randomBytes } from 'node:crypto';
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
   * Deletes a resource that nobody has: also a random name, in the form of a disk key's, since an access list may
   * let no other pass. Releases before v0.20 do not know the method.
   */
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
  const name = randomBytes(12).toString('hex');
  const nobodys = `cvm-check-${name}`;
  const absent = `${apiRoot}/resource/${resourcePrefix}/${nobodys}`;
  const notBase64 = '%%%';
  return {
    asNobody: { method: 'GET', path: absent },
    deletion: { method: 'DELETE', path: `${apiRoot}/resource/${resourcePrefix}/${name}` },
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

/**
 * Whether a refusal proves that the sender's token was believed: from v0.21 on a role is held against the access list
 * only once the signature has passed (trustee, kbs/src/admin/authorization/regex_acl.rs).
 */
export function believedButNotAllowed(reply: KbsReply): boolean {
  const { variant, detail } = errorBody(reply) ?? { variant: '', detail: '' };
  return variant.startsWith('Admin') && /\b(?:role|audience) not allowed/i.test(detail);
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

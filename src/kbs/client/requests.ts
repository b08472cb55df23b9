import type { Secret } from '../../host/secret.ts';
import { resourcePathPattern } from '../registry/record.ts';
import type { RvpsMessage } from '../rvps.ts';
import type { KbsReply, KbsRequest } from './connection.ts';
import { KbsFailure, spellings } from './failure.ts';
import type { AdminRequest, Kbs } from './kbs.ts';

/** Path of a KBS's interface below its address; the same in every release. */
export const apiRoot = '/kbs/v0';

const json = 'application/json';
const post = (path: string, body: Uint8Array | string, contentType: string): KbsRequest => ({
  method: 'POST',
  path: `${apiRoot}/${path}`,
  body: typeof body === 'string' ? Buffer.from(body) : body,
  contentType,
});

/** The request that replaces the one resource policy of a KBS. */
export function policyRequest(text: string): KbsRequest {
  const policy = Buffer.from(text).toString('base64url');
  return post('resource-policy', JSON.stringify({ policy }), json);
}

/** The request that stores a resource, silently replacing what is there. @throws Error for an illegal path. */
export function resourceRequest(path: string, bytes: Uint8Array): KbsRequest {
  return post(`resource/${checkedPath(path)}`, bytes, 'application/octet-stream');
}

/** The request that registers reference values; each name in it replaces its old value as a whole. */
export function referenceValuesRequest(message: RvpsMessage): KbsRequest {
  return post('reference-value', JSON.stringify(message), json);
}

/** The request that deletes a resource. @throws Error for an illegal path. */
export function deletionRequest(path: string): KbsRequest {
  return { method: 'DELETE', path: `${apiRoot}/resource/${checkedPath(path)}` };
}

/** Stores the resource policy. @throws KbsFailure */
export async function setResourcePolicy(kbs: Kbs, text: string): Promise<void> {
  const doing = 'store the policy';
  expectEmpty(doing, kbs, await kbs.ask({ operation: 'set-policy', doing, request: policyRequest(text) }));
}

/** What a KBS tells of its policy: the text (releases up to v0.18), or the names of policies only. */
export type StoredPolicy = { text: string } | { names: readonly string[] };

/** Reads the policy back. @throws KbsFailure */
export async function getResourcePolicy(kbs: Kbs): Promise<StoredPolicy> {
  const doing = 'read the policy back';
  const request: KbsRequest = { method: 'GET', path: `${apiRoot}/resource-policy` };
  const reply = await kbs.ask({ operation: 'get-policy', doing, request });
  const stored = storedPolicy(reply);
  if (stored === undefined) throw strange(doing, kbs, reply);
  return stored;
}

/** The policy in an answer of status 200; undefined where it is neither form. */
export function storedPolicy({ body }: Pick<KbsReply, 'body'>): StoredPolicy | undefined {
  const text = body.toString('utf8').trim();
  // Base64url as a KBS writes it has no padding; what Node would skip as noise makes it something else.
  if (/^[\w-]*$/.test(text)) return { text: Buffer.from(text, 'base64url').toString('utf8') };
  const names = parsed(text);
  const listed = Array.isArray(names) && names.every((name) => typeof name === 'string');
  return listed ? { names } : undefined;
}

/** Stores a secret. @throws KbsFailure; no error repeats the secret. */
export async function setResource(kbs: Kbs, path: string, secret: Secret): Promise<void> {
  const doing = `store the key ${path}`;
  const bytes = secret.reveal();
  const request: AdminRequest = {
    operation: 'set-resource',
    doing,
    request: resourceRequest(path, bytes),
    secrets: spellings(bytes),
  };
  expectEmpty(doing, kbs, await kbs.ask(request));
}

/**
 * Deletes a resource: releases from v0.20. @throws KbsFailure `cannot-delete` for older ones, `not-deleted`
 * where it is missing.
 */
export async function deleteResource(kbs: Kbs, path: string): Promise<void> {
  const doing = `delete the key ${path}`;
  const request = deletionRequest(path);
  expectEmpty(doing, kbs, await kbs.ask({ operation: 'delete-resource', doing, request }));
}

/** Registers reference values. @throws KbsFailure */
export async function setReferenceValues(kbs: Kbs, message: RvpsMessage): Promise<void> {
  const doing = 'store the reference values';
  const request = referenceValuesRequest(message);
  expectEmpty(doing, kbs, await kbs.ask({ operation: 'set-reference-values', doing, request }));
}

/** One reference value, from releases that answer by name; undefined where it has none. @throws KbsFailure */
export async function getReferenceValue(kbs: Kbs, name: string): Promise<unknown> {
  const doing = `read the reference value ${name} back`;
  const request: KbsRequest = {
    method: 'GET',
    path: `${apiRoot}/reference-value/${encodeURIComponent(name)}`,
  };
  return parsed((await kbs.ask({ operation: 'get-reference-values', doing, request })).body.toString('utf8'));
}

/** All reference values by name, from releases up to v0.15. @throws KbsFailure */
export async function getReferenceValues(kbs: Kbs): Promise<Record<string, unknown>> {
  const doing = 'read the reference values back';
  const request: KbsRequest = { method: 'GET', path: `${apiRoot}/reference-value` };
  const reply = await kbs.ask({ operation: 'get-reference-values', doing, request });
  const values = parsed(reply.body.toString('utf8'));
  if (typeof values !== 'object' || values === null || Array.isArray(values))
    throw strange(doing, kbs, reply);
  return values as Record<string, unknown>;
}

/** An illegal path would be answered by a KBS like a broken store; and must not change the address asked. */
function checkedPath(path: string): string {
  if (!resourcePathPattern.test(path)) throw new Error(`${JSON.stringify(path)} is not a resource path`);
  return path;
}

/**
 * A KBS confirms with an empty body. A page of text with status 200 is somebody else's, and nothing was
 * stored.
 */
function expectEmpty(doing: string, kbs: Kbs, reply: KbsReply): void {
  const { body } = reply;
  if (body.length > 64 || !/^(?:null|""|\{\})?$/.test(body.toString('latin1').trim())) {
    throw strange(doing, kbs, reply);
  }
}

function strange(doing: string, kbs: Kbs, { type, body }: KbsReply): KbsFailure {
  const what = `${body.length} bytes${/^[\w/+.-]+$/.test(type) ? ` of ${type}` : ''}`;
  return new KbsFailure(
    'not-a-kbs',
    `${doing} at ${kbs.url}`,
    `this is not the answer of a KBS (status 200, ${what})`,
    'check host, port and path of kbs.url; it ends before /kbs/v0',
  );
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}

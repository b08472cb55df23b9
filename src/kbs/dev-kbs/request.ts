import type { IncomingMessage } from 'node:http';
import { handshakeRefusal, Refusal } from './refusal.ts';

/** Largest body, in bytes; the real broker's default. */
export const bodyLimit = 2 * 2 ** 20;

/** The body is larger than {@link bodyLimit}: the answer is 413 without an error body. */
export class BodyTooLarge extends Error {}

/** A request, read and taken apart. */
export interface KbsRequest {
  method: string;
  /** First path segment below `/kbs/v0/`. */
  plugin: string;
  /** The other segments, joined by `/`. */
  path: string;
  cookie: string | undefined;
  authorization: string | undefined;
  body: Buffer;
}

/**
 * Reads a request.
 * @throws BodyTooLarge
 * @throws Refusal `InvalidRequestPath` for a path that is not below `/kbs/v0/`.
 */
export async function readRequest(message: IncomingMessage): Promise<KbsRequest> {
  const body = await readBody(message);
  const target = /^\/kbs\/v0\/([^/?]+)(?:\/([^?]*))?(?:\?.*)?$/.exec(message.url ?? '');
  if (target === null) throw new Refusal('InvalidRequestPath', 'Request path is invalid');
  const { cookie, authorization } = message.headers;
  return {
    method: message.method ?? '',
    plugin: target[1]!,
    path: target[2] ?? '',
    cookie,
    authorization,
    body,
  };
}

async function readBody(message: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of message as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > bodyLimit) throw new BodyTooLarge();
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

/** The body as JSON. @throws Refusal for the step of the handshake it belongs to. */
export function jsonBody(request: KbsRequest, step: 'Auth' | 'Attest'): unknown {
  try {
    return JSON.parse(request.body.toString('utf8'));
  } catch {
    throw handshakeRefusal(step, `deserialize ${step === 'Auth' ? 'Request' : 'Attestation'}`);
  }
}

import type { IncomingMessage } from 'node:http';
import { HttpRefusal, handshakeRefusal } from './refusal.ts';

/** Largest body, in bytes; the real broker's default. */
export const bodyLimit = 2 * 2 ** 20;

/** Where reading a too large body stops: until there it is thrown away, so that the client can read the 413. */
const drainLimit = 8 * bodyLimit;

/** A request below `/kbs/v0/`, read and taken apart. */
export interface KbsRequest {
  method: string;
  /** Path and query. */
  uri: string;
  /** First path segment below `/kbs/v0/`. */
  plugin: string;
  /** The other segments, joined by `/`. */
  path: string;
  cookie: string | undefined;
  authorization: string | undefined;
  body: Buffer;
  /** The answer's nonce is to be none of an open session. */
  staleNonce: boolean;
  /** What the request has proved so far; for the log. */
  who: 'none' | 'admin' | 'attested';
}

/** First segment and the rest of a path below `/kbs/v0/`; undefined for any other path. */
export function kbsPath(uri: string): { plugin: string; path: string } | undefined {
  const match = /^\/kbs\/v0\/([^/?]*)(?:\/([^?]*))?(?:\?.*)?$/.exec(uri);
  return match === null ? undefined : { plugin: match[1]!, path: match[2] ?? '' };
}

/** Reads a body. @throws HttpRefusal 413 */
export async function readBody(message: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of message as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size <= bodyLimit) chunks.push(chunk);
    else chunks.length = 0;
    if (size > drainLimit) break;
  }
  if (size > bodyLimit) throw new HttpRefusal(413, 'body too large');
  return Buffer.concat(chunks);
}

/** The body as JSON; undefined where it is none. A parser's message is of no use here: it quotes the body. */
export function jsonOf(request: KbsRequest): unknown {
  try {
    return JSON.parse(request.body.toString('utf8'));
  } catch {
    return undefined;
  }
}

/** The body of a handshake's step. @throws Refusal */
export function handshakeBody(request: KbsRequest, step: 'Auth' | 'Attest'): unknown {
  const body = jsonOf(request);
  if (body !== undefined) return body;
  throw handshakeRefusal(step, `deserialize ${step === 'Auth' ? 'Request' : 'Attestation'}`);
}

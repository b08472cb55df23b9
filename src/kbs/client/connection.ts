import { X509Certificate } from 'node:crypto';
import { Agent as HttpAgent, request as httpRequest, type IncomingMessage } from 'node:http';
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https';
import { TLSSocket } from 'node:tls';
import { exitStatus, messageOf, UserError } from '../../host/errors.ts';

/** One request. Paths begin at the KBS's root, e.g. `/kbs/v0/resource-policy`. */
export interface KbsRequest {
  method: 'GET' | 'POST' | 'DELETE';
  path: string;
  body?: Uint8Array | undefined;
  contentType?: string | undefined;
  /** Sent as `Authorization: Bearer …`. */
  token?: string | undefined;
}

export interface KbsReply {
  status: number;
  /** `Content-Type` without parameters, lower case. */
  type: string;
  /** `Location`, `Date` as sent. */
  location: string | undefined;
  date: string | undefined;
  /** When the server's own certificate ends; absent over http and where the session was taken up again. */
  certificateEnds?: Date;
  body: Buffer;
}

export interface ConnectionOptions {
  /** `https://host[:port][/prefix]`; http for this very machine only. */
  url: string;
  /** PEM certificates: the only ones trusted. */
  ca: string | undefined;
  /** Longest time for one request and its answer, in milliseconds. */
  timeoutMs?: number;
  signal?: AbortSignal | undefined;
}

/** A way to one KBS. Closing it ends its kept-alive connections. */
export interface KbsConnection extends Disposable {
  readonly url: string;
  /** Sends once. @throws system and TLS errors as Node has them, with `code`; the signal's reason on abort. */
  send(request: KbsRequest): Promise<KbsReply>;
}

/** Largest answer read, in bytes: twice what a KBS takes as a request by default, for base64. */
const answerLimit = 4 * 2 ** 20;

const loopback = /^(?:localhost|127(?:\.\d{1,3}){3}|\[::1\])$/;

/**
 * Opens nothing yet: the first request connects. Certificate and host name are always verified, whatever
 * NODE_TLS_REJECT_UNAUTHORIZED says; the system's roots are not trusted; no redirect is followed and no proxy used.
 * @throws UserError for an address that would carry secrets in clear, or without certificates to trust.
 */
export function openConnection(options: ConnectionOptions): KbsConnection {
  const { ca, signal, timeoutMs = 30_000 } = options;
  const base = checkedAddress(options.url, ca);
  const secure = base.protocol === 'https:';
  const agent = secure
    ? new HttpsAgent({
        keepAlive: true,
        maxSockets: 2,
        ca: ca!,
        // A pinned intermediate is an anchor like a root, as it is for the guest.
        allowPartialTrustChain: true,
        rejectUnauthorized: true,
        minVersion: 'TLSv1.2',
      })
    : new HttpAgent({ keepAlive: true, maxSockets: 2 });
  const prefix = base.pathname.replace(/\/+$/, '');
  return {
    url: base.href.replace(/\/+$/, ''),
    async send(request) {
      signal?.throwIfAborted();
      const limit = AbortSignal.timeout(timeoutMs);
      const either = signal === undefined ? limit : AbortSignal.any([signal, limit]);
      try {
        return await exchange(new URL(prefix + request.path, base), request, agent, either);
      } catch (error) {
        signal?.throwIfAborted();
        if (limit.aborted) throw coded('CVM_TIMEOUT', `no answer within ${timeoutMs} ms`);
        throw error;
      }
    },
    [Symbol.dispose]: () => agent.destroy(),
  };
}

async function exchange(
  url: URL,
  { method, body, contentType, token }: KbsRequest,
  agent: HttpAgent,
  signal: AbortSignal,
): Promise<KbsReply> {
  const headers = {
    Accept: '*/*',
    'User-Agent': 'cvm-builder',
    ...(contentType === undefined ? {} : { 'Content-Type': contentType }),
    ...(body === undefined ? {} : { 'Content-Length': body.byteLength }),
    ...(token === undefined ? {} : { Authorization: `Bearer ${token}` }),
  };
  const answered = Promise.withResolvers<IncomingMessage>();
  const send = url.protocol === 'https:' ? httpsRequest : httpRequest;
  const outgoing = send(url, { method, headers, agent, signal }, answered.resolve);
  outgoing.on('error', answered.reject).end(body);
  const message = await answered.promise;
  const certificateEnds = endOfCertificate(message);
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of message as AsyncIterable<Buffer>) {
    size += chunk.length;
    // Leaving the loop destroys the connection.
    if (size > answerLimit) throw coded('CVM_ANSWER_TOO_LARGE', `more than ${answerLimit} bytes`);
    chunks.push(chunk);
  }
  const { location, date } = message.headers;
  const type = (message.headers['content-type'] ?? '').split(';')[0]!.trim().toLowerCase();
  return {
    status: message.statusCode!,
    type,
    location,
    date,
    ...(certificateEnds === undefined ? {} : { certificateEnds }),
    body: Buffer.concat(chunks),
  };
}

function endOfCertificate({ socket }: IncomingMessage): Date | undefined {
  const ends = socket instanceof TLSSocket ? Date.parse(socket.getPeerCertificate().valid_to) : Number.NaN;
  return Number.isNaN(ends) ? undefined : new Date(ends);
}

function checkedAddress(text: string, ca: string | undefined): URL {
  const cannot = (cause: string, hint: string) =>
    new UserError(`cannot use kbs.url: ${cause}`, { hint, status: exitStatus.usage });
  if (!URL.canParse(text)) throw cannot('it is not an address', 'write it as https://kbs.example.org:8999');
  const url = new URL(text);
  // Not even quoted: what is wrong with it may be a password.
  if (url.username !== '' || url.password !== '' || url.search !== '' || url.hash !== '') {
    throw cannot('it holds more than host, port and path', 'write it as https://kbs.example.org:8999');
  }
  if (url.protocol === 'http:' && !loopback.test(url.hostname)) {
    throw cannot(
      `${url.origin} is not encrypted: the administrator's token and the disk keys would cross the network in clear`,
      'use https, or run this on the machine of the KBS with http://127.0.0.1:<port>',
    );
  }
  if (url.protocol !== 'https:' && url.protocol !== 'http:') {
    throw cannot(`${url.protocol} is not https`, 'write it as https://kbs.example.org:8999');
  }
  if (url.protocol === 'https:') checkCertificates(url.origin, ca ?? '');
  return url;
}

function checkCertificates(origin: string, pem: string): void {
  const cannot = (cause: string) =>
    new UserError(`cannot connect to ${origin}: ${cause}`, {
      hint: "set kbs.ca to the certificate (PEM) that the KBS's own chains to",
      status: exitStatus.usage,
    });
  const blocks = pem.match(/-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----/g) ?? [];
  if (blocks.length === 0) throw cannot('kbs.ca holds no PEM certificate to trust');
  for (const [index, block] of blocks.entries()) {
    try {
      new X509Certificate(block);
    } catch (error) {
      throw cannot(`certificate ${index + 1} in kbs.ca cannot be read: ${messageOf(error)}`);
    }
  }
}

function coded(code: string, message: string): Error {
  return Object.assign(new Error(message), { code });
}

import type { IncomingMessage, ServerResponse } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Answer, Context } from './context.ts';
import type { Fault, Faults } from './faults/fault.ts';
import { logLine } from './log.ts';
import { HttpRefusal, Refusal, reasonOf } from './refusal.ts';
import { type KbsRequest, kbsPath, readBody } from './request.ts';
import { type Counted, type Routes, routeOf } from './routes.ts';

/** How many requests of each sort were answered, refused ones included. */
export interface RequestCounter extends Record<Counted, number> {
  total: number;
  /** Resources that were handed out. */
  released: number;
  /** Answers other than 200. */
  refused: number;
}

/** The connection is closed without a whole answer. */
class Dropped extends Error {}

/** Answers the requests of one server. */
export class Exchange {
  readonly requests: RequestCounter = {
    total: 0,
    auth: 0,
    attest: 0,
    resource: 0,
    admin: 0,
    released: 0,
    refused: 0,
  };
  readonly #context: Context;
  readonly #routes: Routes;
  readonly #faults: Faults;

  constructor(context: Context, routes: Routes, faults: Faults) {
    this.#context = context;
    this.#routes = routes;
    this.#faults = faults;
  }

  /** Answers one request and returns its line for the log. */
  async serve(message: IncomingMessage, response: ServerResponse): Promise<string> {
    this.requests.total += 1;
    const { method = '', url: uri = '' } = message;
    const { cookie, authorization } = message.headers;
    const request: KbsRequest = {
      method,
      uri,
      plugin: '',
      path: '',
      cookie,
      authorization,
      body: Buffer.alloc(0),
      staleNonce: false,
      who: 'none',
    };
    const faults = this.#faults.take(method, uri.split('?', 1)[0]!);
    response.sendDate = false;
    response.setHeader('Date', new Date(this.#context.dateHeader()).toUTCString());
    let end: { status: number | undefined; note: string };
    try {
      await inject(faults, request);
      const { answer, counted } = await this.#answer(request, message);
      send(response, answer, faults);
      if (counted === 'resource') this.requests.released += 1;
      end = { status: 200, note: '' };
    } catch (error) {
      this.requests.refused += 1;
      end = this.#refuse(error, request, response);
    }
    return logLine({ time: this.#context.now(), method, uri, who: request.who, ...end });
  }

  async #answer(
    request: KbsRequest,
    message: IncomingMessage,
  ): Promise<{ answer: Answer; counted: Counted | undefined }> {
    const { era, metrics } = this.#context;
    const { method, uri } = request;
    const [path] = uri.split('?', 1);
    if (path === '/metrics' || (path === '/healthz' && era.healthz)) {
      if (method !== 'GET') throw new HttpRefusal(405, 'method not routed');
      return {
        answer: path === '/metrics' ? { body: metrics.text(), type: 'text/plain' } : {},
        counted: undefined,
      };
    }
    const target = kbsPath(uri);
    if (target === undefined) throw new HttpRefusal(404, 'path not routed');
    if (!era.methods.includes(method)) throw new HttpRefusal(405, 'method not routed');
    metrics.request();
    Object.assign(request, target, { body: await readBody(message) });
    const [counted, handler] = routeOf(this.#routes, request);
    this.requests[counted] += 1;
    return { answer: await handler(request), counted };
  }

  #refuse(
    error: unknown,
    request: KbsRequest,
    response: ServerResponse,
  ): { status: number | undefined; note: string } {
    if (error instanceof Dropped) {
      if (!response.headersSent) response.socket?.destroy();
      return { status: undefined, note: error.message };
    }
    if (error instanceof HttpRefusal) {
      // What is left of the body is not read: the connection cannot be used again.
      response.writeHead(error.status, { Connection: 'close' }).end();
      return { status: error.status, note: error.message };
    }
    const refusal = error instanceof Refusal ? error : new Refusal('PluginInternalError', reasonOf(error));
    const { type, detail } = this.#context.era.describe(refusal, request.plugin);
    const url = `https://github.com/confidential-containers/kbs/errors/${type}`;
    const status = refusal.type === 'PluginNotFound' ? 404 : 401;
    response.writeHead(status, { 'Content-Type': 'application/json' });
    response.end(JSON.stringify({ type: url, detail }));
    return { status, note: `${type}: ${refusal.reason}` };
  }
}

/** Brings about the faults that come before an answer. */
async function inject(faults: readonly Fault[], request: KbsRequest): Promise<void> {
  for (const { kind, milliseconds = 0 } of faults) {
    if (kind === 'slow') await sleep(milliseconds, undefined, { ref: false });
    if (kind === 'stale-nonce') request.staleNonce = true;
    if (kind === 'drop') throw new Dropped('fault drop');
    if (kind === '401') throw new Refusal('PluginInternalError', 'fault 401');
    if (kind === '500') throw new HttpRefusal(500, 'fault 500');
  }
}

function send(response: ServerResponse, { body, type, cookie }: Answer, faults: readonly Fault[]): void {
  if (type !== undefined) response.setHeader('Content-Type', type);
  if (cookie !== undefined) response.setHeader('Set-Cookie', cookie);
  const bytes = Buffer.from(body ?? '');
  response.setHeader('Content-Length', bytes.length);
  if (!faults.some(({ kind }) => kind === 'drop-answer')) {
    response.writeHead(200).end(bytes);
    return;
  }
  // An answer without a body has no middle: nothing of it gets out.
  if (bytes.length === 0) throw new Dropped('fault drop-answer');
  response.writeHead(200).write(bytes.subarray(0, bytes.length >> 1), () => response.socket?.destroy());
  throw new Dropped('fault drop-answer');
}

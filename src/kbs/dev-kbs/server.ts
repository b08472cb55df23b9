import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { messageOf, UserError } from '../../host/errors.ts';
import { launchDigestPattern } from '../registry/record.ts';
import { developmentAdminKey } from './admin.ts';
import { developmentCa, serverIdentity } from './authority.ts';
import { type Answer, Broker } from './broker.ts';
import { developmentImages } from './development-registry.ts';
import { Refusal } from './refusal.ts';
import { BodyTooLarge, type KbsRequest, readRequest } from './request.ts';
import { Store } from './store.ts';

export interface DevelopmentKbsOptions {
  /** Where its certificate authority, administrator key and received values are kept (mode 0700). */
  stateDirectory: string;
  /** Folder with the development registry and its policy.rego. */
  registryDirectory: string;
  /** 127.0.0.1 and a free port unless told otherwise. */
  listen?: { host: string; port: number };
  /** Launch digest, 96 hex digits, that a valid sample handshake is taken to have proved; without it none succeeds. */
  digest?: string | undefined;
  /** Path of Open Policy Agent, to judge by the policy text itself. */
  opa?: string | undefined;
  /** Gets one line per request: method, path, status, reason. Never a secret. */
  log?: (line: string) => void;
  /** Milliseconds since 1970. */
  now?: () => number;
}

/** How many requests of each sort were answered, refused ones included. */
export interface RequestCounter {
  total: number;
  auth: number;
  attest: number;
  resource: number;
  admin: number;
  /** Resources that were handed out. */
  released: number;
  /** Answers other than 200. */
  refused: number;
}

export interface DevelopmentKbs {
  /** `https://127.0.0.1:<port>` (or the address it listens on). */
  readonly url: string;
  readonly port: number;
  /** Certificate authority that clients pin. */
  readonly caFile: string;
  /** Ed25519 private key for {@link adminToken}. */
  readonly adminKeyFile: string;
  readonly requests: Readonly<RequestCounter>;
  close(): Promise<void>;
}

type Handler = (broker: Broker, request: KbsRequest) => Answer | Promise<Answer>;

/** Endpoint by method and first path segment, with the counter it belongs to. */
const routes: Record<string, [keyof RequestCounter, Handler]> = {
  'POST auth': ['auth', (broker, request) => broker.auth(request)],
  'POST attest': ['attest', (broker, request) => broker.attest(request)],
  'GET resource': ['resource', (broker, request) => broker.resource(request)],
  'POST resource': ['admin', (broker, request) => broker.setResource(request)],
  'POST resource-policy': ['admin', (broker, request) => broker.setPolicy(request)],
  'GET resource-policy': ['admin', (broker, request) => broker.policy(request)],
  'POST reference-value': ['admin', (broker, request) => broker.addReferenceValues(request)],
  'GET reference-value': ['admin', (broker, request) => broker.referenceValues(request)],
};

/**
 * Starts the development KBS: protocol 0.4.0 over TLS for the `sample` TEE, which proves nothing. It turns a valid
 * handshake into the claims of a SEV-SNP guest with the given digest and judges those as the real broker would, so a
 * boot without the hardware exercises the same path and policy. It serves development registries only.
 * @throws UserError where the registry is not one, or the address is taken.
 */
export async function startDevelopmentKbs(options: DevelopmentKbsOptions): Promise<DevelopmentKbs> {
  const { stateDirectory, registryDirectory, digest, opa, log = () => {}, now = Date.now } = options;
  const { host, port } = options.listen ?? { host: '127.0.0.1', port: 0 };
  if (digest !== undefined && !launchDigestPattern.test(digest)) {
    throw new UserError(
      `cannot start the development KBS: launch digest ${digest} is not 96 lower-case hex digits`,
    );
  }
  await developmentImages(registryDirectory);
  const authority = await developmentCa(stateDirectory);
  const admin = await developmentAdminKey(stateDirectory);
  const store = new Store(stateDirectory);
  const broker = new Broker({ registryDirectory, store, adminKey: admin.publicKey, digest, opa, now });
  const requests = { total: 0, auth: 0, attest: 0, resource: 0, admin: 0, released: 0, refused: 0 };
  const limits = {
    headersTimeout: 10_000,
    requestTimeout: 30_000,
    keepAliveTimeout: 5_000,
    maxHeaderSize: 16_384,
  };
  const identity = await serverIdentity(authority);
  const server = createServer({ ...identity, ...limits, minVersion: 'TLSv1.2', handshakeTimeout: 10_000 });
  server.maxConnections = 256;
  server.on('request', (message, response) => {
    void serve(broker, requests, message, response).then(log, (error) => log(`error: ${messageOf(error)}`));
  });
  const listening = Promise.withResolvers<void>();
  server.once('error', listening.reject).listen(port, host, listening.resolve);
  try {
    await listening.promise;
  } catch (error) {
    throw new UserError(`cannot start the development KBS on ${host}:${port}: ${messageOf(error)}`, {
      cause: error,
    });
  }
  const bound = (server.address() as AddressInfo).port;
  return {
    url: `https://${host.includes(':') ? `[${host}]` : host}:${bound}`,
    port: bound,
    caFile: authority.certFile,
    adminKeyFile: admin.keyFile,
    requests,
    async close() {
      const closed = new Promise((resolve) => server.close(resolve));
      server.closeAllConnections();
      await closed;
    },
  };
}

/** Answers one request and returns its line for the log. */
async function serve(
  broker: Broker,
  requests: RequestCounter,
  message: IncomingMessage,
  response: ServerResponse,
): Promise<string> {
  requests.total += 1;
  let status = 200;
  let note = '';
  try {
    const request = await readRequest(message);
    const [counter, handler] = routes[`${request.method} ${request.plugin}`] ?? [];
    if (counter === undefined || handler === undefined) {
      throw new Refusal('PluginNotFound', `Plugin ${request.plugin} not found`);
    }
    requests[counter] += 1;
    const { body, type, cookie } = await handler(broker, request);
    if (type !== undefined) response.setHeader('Content-Type', type);
    if (cookie !== undefined) response.setHeader('Set-Cookie', cookie);
    response.writeHead(200).end(body);
    if (counter === 'resource') requests.released += 1;
  } catch (error) {
    requests.refused += 1;
    ({ status, note } = refuse(error, response));
  }
  // The path is the client's own text: no control characters into the log.
  const line = `${message.method} ${JSON.stringify(message.url ?? '').slice(1, -1)} ${status} ${note}`;
  return line.trimEnd();
}

function refuse(error: unknown, response: ServerResponse): { status: number; note: string } {
  if (error instanceof BodyTooLarge) {
    response.writeHead(413, { Connection: 'close' }).end();
    return { status: 413, note: 'body too large' };
  }
  const refusal = error instanceof Refusal ? error : new Refusal('PluginInternalError', messageOf(error));
  response.writeHead(refusal.status, { 'Content-Type': 'application/json' }).end(refusal.body());
  return { status: refusal.status, note: `${refusal.type}: ${refusal.reason}` };
}

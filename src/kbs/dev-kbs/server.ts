import { createServer, type Server } from 'node:https';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { messageOf, UserError } from '../../host/errors.ts';
import { launchDigestPattern } from '../registry/record.ts';
import { developmentAdminKey } from './admin/key.ts';
import { parseAccess } from './admin/rules.ts';
import { developmentCa, serverIdentity } from './authority.ts';
import type { Context } from './context.ts';
import { developmentImages } from './development-registry.ts';
import { type EraName, eras } from './era/index.ts';
import { Exchange, type RequestCounter } from './exchange.ts';
import { Faults } from './faults/fault.ts';
import { Metrics } from './metrics.ts';
import type { DevelopmentKbsOptions } from './options.ts';
import { Policies } from './policies.ts';
import { routesOf } from './routes.ts';
import { fileStorage, memoryStorage } from './store/storage.ts';
import { type Received, Store } from './store/store.ts';

export interface DevelopmentKbs extends AsyncDisposable {
  /** `https://127.0.0.1:<port>` (or the address it listens on). */
  readonly url: string;
  readonly port: number;
  readonly era: EraName;
  /** Certificate authority that clients pin. */
  readonly caFile: string;
  /** Ed25519 private key, PKCS#8 PEM, of the administrator. */
  readonly adminKeyFile: string;
  readonly requests: Readonly<RequestCounter>;
  /** What administrators have sent. Holds keys: for tests. */
  readonly received: Received;
  close(): Promise<void>;
}

/**
 * Starts the development KBS: protocol 0.4.0 over TLS for the `sample` TEE, which proves nothing. It turns a valid
 * handshake into the claims of a SEV-SNP guest with the given digest and judges those as the real broker would, so a
 * boot without the hardware exercises the same path and policy. It serves development registries only.
 * @throws UserError where the registry is not one, or the address is taken.
 */
export async function startDevelopmentKbs(options: DevelopmentKbsOptions): Promise<DevelopmentKbs> {
  const { stateDirectory, registryDirectory, log = () => {} } = options;
  const { host, port } = options.listen ?? { host: '127.0.0.1', port: 0 };
  checkDigest(options.digest);
  await developmentImages(registryDirectory);
  const authority = await developmentCa(stateDirectory);
  const { keyFile, publicKey } = await developmentAdminKey(stateDirectory);
  const context = contextOf(options, publicKey);
  const exchange = new Exchange(context, routesOf(context), new Faults(options.faults ?? []));
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
    void exchange.serve(message, response).then(log, (error) => log(`error: ${messageOf(error)}`));
  });
  const bound = await listen(server, host, port);
  const close = async () => {
    const closed = new Promise((resolve) => server.close(resolve));
    server.closeAllConnections();
    await closed;
  };
  return {
    url: `https://${host.includes(':') ? `[${host}]` : host}:${bound}`,
    port: bound,
    era: context.era.name,
    caFile: authority.certFile,
    adminKeyFile: keyFile,
    requests: exchange.requests,
    received: context.store,
    close,
    [Symbol.asyncDispose]: close,
  };
}

function checkDigest(digest: string | undefined): void {
  if (digest === undefined || launchDigestPattern.test(digest)) return;
  throw new UserError(
    `cannot start the development KBS: launch digest ${digest} is not 96 lower-case hex digits`,
  );
}

function contextOf(options: DevelopmentKbsOptions, adminKey: Context['admin']['key']): Context {
  const { stateDirectory, registryDirectory, digest, opa, now = Date.now } = options;
  const era = eras[options.era ?? 'field'];
  const store = new Store(options.inMemory ? memoryStorage() : fileStorage(join(stateDirectory, 'store')));
  return {
    era,
    registryDirectory,
    store,
    policies: new Policies(registryDirectory, store, era, options.shippedPolicy ?? false),
    metrics: new Metrics(),
    admin: {
      key: adminKey,
      insecureApi: options.insecureApi ?? false,
      headerKeys: options.insecureAdminTokens ?? false,
      access: parseAccess(options.accessRules),
      issuer: options.adminIssuer,
      audience: options.adminAudience,
    },
    digest,
    claims: options.claims ?? 'snp',
    tokenTrust: options.insecureTokens ? 'header' : options.cocoTokens ? 'claims' : 'own',
    opa,
    now,
    dateHeader: options.dateHeader ?? now,
  };
}

async function listen(server: Server, host: string, port: number): Promise<number> {
  const listening = Promise.withResolvers<void>();
  server.once('error', listening.reject).listen(port, host, listening.resolve);
  try {
    await listening.promise;
  } catch (error) {
    throw new UserError(`cannot start the development KBS on ${host}:${port}: ${messageOf(error)}`, {
      cause: error,
    });
  }
  return (server.address() as AddressInfo).port;
}

import { Administration } from './administration.ts';
import { TokenIssuer } from './attestation-token.ts';
import type { Answer, Context } from './context.ts';
import { Handshake } from './handshake.ts';
import { Refusal } from './refusal.ts';
import type { KbsRequest } from './request.ts';
import { Resources } from './resources.ts';
import { Sessions } from './sessions.ts';

/** How a request is counted. */
export type Counted = 'auth' | 'attest' | 'resource' | 'admin';

type Handler = (request: KbsRequest) => Answer | Promise<Answer>;

/** Endpoint by method and first path segment, with the counter it belongs to. */
export type Routes = Readonly<Record<string, readonly [Counted, Handler]>>;

/** Everything below `/kbs/v0/`. Methods that an era does not route never get here. */
export function routesOf(context: Context): Routes {
  const sessions = new Sessions(context.now);
  const tokens = new TokenIssuer(context.tokenTrust);
  const handshake = new Handshake(context, sessions, tokens);
  const resources = new Resources(context, sessions, tokens);
  const administration = new Administration(context);
  return {
    'POST auth': ['auth', (request) => handshake.auth(request)],
    'POST attest': ['attest', (request) => handshake.attest(request)],
    'GET resource': ['resource', (request) => resources.get(request)],
    'POST resource': ['admin', (request) => resources.set(request)],
    'DELETE resource': ['admin', (request) => resources.delete(request)],
    'POST resource-policy': ['admin', (request) => administration.setPolicy(request)],
    'GET resource-policy': ['admin', (request) => administration.policy(request)],
    'POST attestation-policy': ['admin', (request) => administration.setAttestationPolicy(request)],
    'POST reference-value': ['admin', (request) => administration.addReferenceValues(request)],
    'GET reference-value': ['admin', (request) => administration.referenceValues(request)],
  };
}

/** @throws Refusal `PluginNotFound`, which is also what another method at a known endpoint is answered. */
export function routeOf(routes: Routes, request: KbsRequest): readonly [Counted, Handler] {
  const name = `${request.method} ${request.plugin}`;
  const route = Object.hasOwn(routes, name) ? routes[name] : undefined;
  if (route !== undefined) return route;
  throw new Refusal('PluginNotFound', 'no such plugin', `Plugin ${request.plugin} not found`);
}

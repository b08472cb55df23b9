import type { KeyObject } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { messageOf } from '../../host/errors.ts';
import { policyPath } from '../policy/policy.ts';
import { resourcePathPattern } from '../registry/record.ts';
import { bearerToken, checkAdmin } from './admin.ts';
import { keyOf, type TokenClaims, TokenIssuer } from './attestation-token.ts';
import { developmentImages } from './development-registry.ts';
import { attestRequest, authRequest, checkSampleEvidence } from './evidence.ts';
import { allowedByPolicy, allowedByRecord } from './judge.ts';
import { encryptJwe } from './jwe.ts';
import { handshakeRefusal, Refusal } from './refusal.ts';
import { jsonBody, type KbsRequest } from './request.ts';
import { Sessions, sessionCookie } from './sessions.ts';
import type { Store } from './store.ts';

const protocolVersion = '0.4.0';

/** An answer with status 200. */
export interface Answer {
  body?: string | undefined;
  type?: 'application/json' | 'text/xml';
  cookie?: string;
}

export interface BrokerOptions {
  registryDirectory: string;
  store: Store;
  adminKey: KeyObject;
  /** Launch digest, as hex, that a valid sample handshake is taken to have proved. */
  digest: string | undefined;
  /** Path of Open Policy Agent; without it the registry's records judge. */
  opa: string | undefined;
  /** Milliseconds since 1970. */
  now: () => number;
}

/** The protocol itself: one method per endpoint, no transport. Every failure is a {@link Refusal}. */
export class Broker {
  readonly #options: BrokerOptions;
  readonly #sessions: Sessions;
  readonly #tokens = new TokenIssuer();

  constructor(options: BrokerOptions) {
    this.#options = options;
    this.#sessions = new Sessions(options.now);
  }

  get #seconds(): number {
    return Math.floor(this.#options.now() / 1000);
  }

  /** Step 1 of the handshake: a challenge and a session. */
  auth(request: KbsRequest): Answer {
    const { data } = authRequest.safeParse(jsonBody(request, 'Auth'));
    if (data === undefined) throw handshakeRefusal('Auth', 'deserialize Request');
    if (data.version !== protocolVersion) {
      const difference = `expect =${protocolVersion} while the request is ${data.version}`;
      throw handshakeRefusal('Auth', `KBS Client Protocol Version Mismatch: ${difference}`);
    }
    if (data.tee !== 'sample')
      throw handshakeRefusal('Auth', 'the TEE is not supported: this broker knows sample only');
    const session = this.#sessions.create();
    if (session === undefined) throw handshakeRefusal('Auth', 'too many sessions');
    const body = JSON.stringify({ nonce: session.nonce, 'extra-params': '' });
    return { body, type: 'application/json', cookie: sessionCookie(session) };
  }

  /** Step 2: evidence against a token. An attested session gets its old token again. */
  attest(request: KbsRequest): Answer {
    const session = this.#sessions.find(request.cookie);
    if (session === undefined) throw handshakeRefusal('Attest', 'no open session');
    session.token ??= this.#verify(request, session.nonce);
    const body = JSON.stringify({ token: session.token });
    return { body, type: 'application/json', cookie: sessionCookie(session) };
  }

  #verify(request: KbsRequest, nonce: string): string {
    const { data, error } = attestRequest.safeParse(jsonBody(request, 'Attest'));
    if (data === undefined) {
      const { path, message } = error.issues[0]!;
      throw handshakeRefusal('Attest', `deserialize Attestation: ${path.join('.')}: ${message}`);
    }
    if (this.#options.digest === undefined)
      throw handshakeRefusal('Attest', 'no launch digest was set for this broker');
    try {
      checkSampleEvidence(data, nonce);
    } catch (cause) {
      throw handshakeRefusal('Attest', `verify TEE evidence failed: ${messageOf(cause)}`);
    }
    return this.#tokens.issue(data, this.#options.digest, this.#seconds);
  }

  /** Step 3: a resource, encrypted to the key in the attestation token. */
  async resource(request: KbsRequest): Promise<Answer> {
    const token = this.#sessions.find(request.cookie)?.token ?? bearerToken(request.authorization);
    if (token === undefined) throw new Refusal('TokenNotFound', 'no attested session and no token');
    let claims: TokenClaims;
    try {
      claims = this.#tokens.verify(token, this.#seconds);
    } catch (error) {
      throw new Refusal('TokenVerifierError', messageOf(error));
    }
    const bytes = await this.#release(request.path, claims);
    try {
      const { kty, crv, x, y } = keyOf(claims);
      return { body: JSON.stringify(encryptJwe(bytes, { kty, crv, x, y })), type: 'application/json' };
    } catch (error) {
      throw new Refusal('JweError', messageOf(error));
    } finally {
      bytes.fill(0);
    }
  }

  /** Judges and reads a resource; only an active development image has one, whatever a policy says. */
  async #release(path: string, claims: TokenClaims): Promise<Buffer> {
    const { registryDirectory, opa, store } = this.#options;
    const image = (await developmentImages(registryDirectory)).get(path);
    const allowed =
      opa === undefined
        ? allowedByRecord(image, claims)
        : await allowedByPolicy(opa, await this.#policy(), path, claims);
    if (!allowed) throw new Refusal('PolicyDeny', 'not this image, or not this path');
    if (image === undefined)
      throw new Refusal('PluginInternalError', 'no active development image has this path');
    const bytes = image.keyFile === undefined ? await store.resource(path) : await readFile(image.keyFile);
    if (bytes === undefined) throw new Refusal('PluginInternalError', 'no such resource');
    return bytes;
  }

  /** The policy that an administrator sent, else the one beside the registry. */
  async #policy(): Promise<string> {
    const { registryDirectory, store } = this.#options;
    return (await store.policy()) ?? (await readFile(policyPath(registryDirectory), 'utf8'));
  }

  async setResource(request: KbsRequest): Promise<Answer> {
    this.#checkAdmin(request);
    if (!resourcePathPattern.test(request.path))
      throw new Refusal('PluginInternalError', 'illegal resource path');
    await this.#options.store.setResource(request.path, request.body);
    return {};
  }

  async setPolicy(request: KbsRequest): Promise<Answer> {
    this.#checkAdmin(request);
    await this.#options.store.setPolicy(jsonOr(request, 'PolicyEngine'));
    return {};
  }

  async policy(request: KbsRequest): Promise<Answer> {
    this.#checkAdmin(request);
    return { body: Buffer.from(await this.#policy()).toString('base64url'), type: 'text/xml' };
  }

  async addReferenceValues(request: KbsRequest): Promise<Answer> {
    this.#checkAdmin(request);
    await this.#options.store.addReferenceValues(jsonOr(request, 'RvpsError'));
    return { type: 'application/json' };
  }

  /** All values, as older brokers answer; with an id one value, as newer ones do. */
  async referenceValues(request: KbsRequest): Promise<Answer> {
    this.#checkAdmin(request);
    const values = await this.#options.store.referenceValues();
    if (request.path === '') return { body: JSON.stringify(values), type: 'application/json' };
    if (!Object.hasOwn(values, request.path))
      throw new Refusal('RvpsError', 'RVPS configuration failed: no such value');
    return { body: JSON.stringify(values[request.path]), type: 'application/json' };
  }

  #checkAdmin(request: KbsRequest): void {
    checkAdmin(request.authorization, this.#options.adminKey, this.#seconds);
  }
}

function jsonOr(request: KbsRequest, type: 'PolicyEngine' | 'RvpsError'): unknown {
  try {
    return JSON.parse(request.body.toString('utf8'));
  } catch {
    throw new Refusal(type, 'the body is not JSON');
  }
}

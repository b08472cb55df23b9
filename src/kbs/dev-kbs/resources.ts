import { readSmallFile } from '../../host/files.ts';
import type { ImageRecord } from '../registry/record.ts';
import { resourcePathPattern } from '../registry/record.ts';
import { checkAdmin } from './admin/check.ts';
import { keyOf, type TokenClaims, type TokenIssuer } from './attestation-token.ts';
import { type Answer, type Context, secondsOf } from './context.ts';
import { developmentImages } from './development-registry.ts';
import { allowed } from './judge.ts';
import { encryptJwe } from './jwe.ts';
import { bearerToken } from './jws.ts';
import { Refusal, reasonOf } from './refusal.ts';
import type { KbsRequest } from './request.ts';
import type { Sessions } from './sessions.ts';

/** The plugin `resource`: guests read, administrators write. */
export class Resources {
  readonly #context: Context;
  readonly #sessions: Sessions;
  readonly #tokens: TokenIssuer;

  constructor(context: Context, sessions: Sessions, tokens: TokenIssuer) {
    this.#context = context;
    this.#sessions = sessions;
    this.#tokens = tokens;
  }

  /** A resource, encrypted to the key in the attestation token. A session counts before a bearer token. */
  async get(request: KbsRequest): Promise<Answer> {
    const token = this.#sessions.find(request.cookie)?.token ?? bearerToken(request.authorization);
    if (token === undefined) throw new Refusal('TokenNotFound', 'no attested session and no token');
    let claims: TokenClaims;
    try {
      claims = this.#tokens.verify(token, secondsOf(this.#context));
    } catch (error) {
      throw new Refusal('TokenVerifierError', reasonOf(error));
    }
    request.who = 'attested';
    const bytes = await this.#release(request.path, claims);
    try {
      const { kty, crv, x, y } = keyOf(claims);
      return { body: JSON.stringify(encryptJwe(bytes, { kty, crv, x, y })), type: 'application/json' };
    } catch {
      throw new Refusal('JweError', 'the token holds no key that a resource can be encrypted to');
    } finally {
      bytes.fill(0);
    }
  }

  /** Judges and reads a resource; only an active development image has one, whatever a policy says. */
  async #release(path: string, claims: TokenClaims): Promise<Buffer> {
    const { registryDirectory, store, metrics } = this.#context;
    const image = (await developmentImages(registryDirectory)).get(path);
    if (!(await this.#judge(path, image, claims))) {
      throw new Refusal('PolicyDeny', 'not this image, or not this path');
    }
    checkPath(path);
    metrics.resource('reads', path);
    if (image === undefined)
      throw new Refusal('PluginInternalError', 'no active development image has this path');
    const bytes =
      (await store.resource(path)) ??
      (image.keyFile === undefined ? undefined : await readSmallFile(image.keyFile));
    if (bytes === undefined) throw new Refusal('PluginInternalError', 'no such resource');
    return bytes;
  }

  async #judge(path: string, image: ImageRecord | undefined, claims: TokenClaims): Promise<boolean> {
    const { era, opa, policies, metrics } = this.#context;
    metrics.policy('evaluations');
    try {
      const [policy, own] = [await policies.inForce(), await policies.own()];
      const answer = await allowed({ policy, own, era, opa, path, image, claims });
      metrics.policy(answer ? 'approvals' : 'violations');
      return answer;
    } catch (error) {
      metrics.policy('errors');
      throw error;
    }
  }

  /** Overwrites silently. */
  async set(request: KbsRequest): Promise<Answer> {
    checkAdmin(this.#context, request);
    const { era, store, metrics } = this.#context;
    checkPath(request.path);
    if (era.nameTooLong(request.path)) throw new Refusal('PluginInternalError', 'File name too long');
    metrics.resource('writes', request.path);
    await store.setResource(request.path, request.body);
    return { type: 'text/xml' };
  }

  async delete(request: KbsRequest): Promise<Answer> {
    checkAdmin(this.#context, request);
    checkPath(request.path);
    if (!(await this.#context.store.deleteResource(request.path))) {
      throw new Refusal('PluginInternalError', 'no such resource');
    }
    return { type: 'text/xml' };
  }
}

/** A client cannot tell an illegal path from an absent resource: both are the plugin's internal error. */
function checkPath(path: string): void {
  if (!resourcePathPattern.test(path)) throw new Refusal('PluginInternalError', 'illegal resource path');
}

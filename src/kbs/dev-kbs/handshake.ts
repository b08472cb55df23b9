import { randomBytes } from 'node:crypto';
import { messageOf } from '../../host/errors.ts';
import { sampleClaims, snpClaims, type TokenIssuer } from './attestation-token.ts';
import { type Answer, type Context, secondsOf } from './context.ts';
import { attestRequest, authRequest, checkSampleEvidence } from './evidence.ts';
import { handshakeRefusal } from './refusal.ts';
import { handshakeBody, type KbsRequest } from './request.ts';
import { type Sessions, sessionCookie } from './sessions.ts';

const protocolVersion = '0.4.0';

/** The two steps by which a guest gets an attestation token; the same in both eras. */
export class Handshake {
  readonly #context: Context;
  readonly #sessions: Sessions;
  readonly #tokens: TokenIssuer;

  constructor(context: Context, sessions: Sessions, tokens: TokenIssuer) {
    this.#context = context;
    this.#sessions = sessions;
    this.#tokens = tokens;
  }

  /** Step 1: a challenge and a session. */
  auth(request: KbsRequest): Answer {
    const { data } = authRequest.safeParse(handshakeBody(request, 'Auth'));
    if (data === undefined) throw handshakeRefusal('Auth', 'deserialize Request');
    if (data.version !== protocolVersion) {
      const difference = `expect =${protocolVersion} while the request is ${data.version.slice(0, 40)}`;
      const mismatch = 'KBS Client Protocol Version Mismatch';
      throw handshakeRefusal('Auth', mismatch, `${mismatch}: ${difference}`);
    }
    if (data.tee !== 'sample')
      throw handshakeRefusal('Auth', 'the TEE is not supported: this broker knows sample only');
    const session = this.#sessions.create();
    if (session === undefined) throw handshakeRefusal('Auth', 'too many sessions');
    const nonce = request.staleNonce ? randomBytes(32).toString('base64') : session.nonce;
    const body = JSON.stringify({ nonce, 'extra-params': '' });
    return { body, type: 'application/json', cookie: sessionCookie(session) };
  }

  /** Step 2: evidence against a token. An attested session gets its old token again. */
  attest(request: KbsRequest): Answer {
    const session = this.#sessions.find(request.cookie);
    if (session === undefined) throw handshakeRefusal('Attest', 'no open session');
    session.token ??= this.#verify(request, session.nonce);
    request.who = 'attested';
    const body = JSON.stringify({ token: session.token });
    return { body, type: 'application/json', cookie: sessionCookie(session) };
  }

  #verify(request: KbsRequest, nonce: string): string {
    const { era, digest, claims } = this.#context;
    const { data, error } = attestRequest.safeParse(handshakeBody(request, 'Attest'));
    if (data === undefined) {
      const { path, message } = error.issues[0]!;
      throw handshakeRefusal('Attest', `deserialize Attestation: ${path.join('.')}: ${message}`);
    }
    if (claims === 'snp' && digest === undefined)
      throw handshakeRefusal('Attest', 'no launch digest was set for this broker');
    try {
      checkSampleEvidence(data, nonce);
    } catch (cause) {
      throw handshakeRefusal('Attest', `verify TEE evidence failed: ${messageOf(cause)}`);
    }
    const evidence = claims === 'snp' ? snpClaims(era.measurement(digest!)) : sampleClaims(data);
    return this.#tokens.issue(data, evidence, secondsOf(this.#context));
  }
}

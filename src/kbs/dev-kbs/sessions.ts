import { randomBytes } from 'node:crypto';

/** How long a handshake's session lasts, in milliseconds; the real broker's default. */
const lifetime = 5 * 60_000;
/** Sessions kept at once: enough for every test, small enough not to matter. */
const limit = 1000;

/** One handshake: its challenge, and its attestation token once it has one. */
export interface Session {
  readonly id: string;
  /** Standard base64 of 32 random bytes. */
  readonly nonce: string;
  /** End of the session, in milliseconds since 1970. */
  readonly expires: number;
  token?: string;
}

/** The open sessions. Expired ones are gone for every caller, and forgotten when a new one is opened. */
export class Sessions {
  readonly #open = new Map<string, Session>();
  readonly #now: () => number;

  constructor(now: () => number) {
    this.#now = now;
  }

  /** Opens a session; undefined where too many are open, so that no flood pushes an honest client out. */
  create(): Session | undefined {
    for (const session of this.#open.values()) {
      if (this.#expired(session)) this.#open.delete(session.id);
    }
    if (this.#open.size >= limit) return undefined;
    const session: Session = {
      id: randomBytes(16).toString('hex'),
      nonce: randomBytes(32).toString('base64'),
      expires: this.#now() + lifetime,
    };
    this.#open.set(session.id, session);
    return session;
  }

  /** The session that a Cookie header names, if it is still open. */
  find(cookieHeader: string | undefined): Session | undefined {
    const id = /(?:^|;\s*)kbs-session-id=([0-9a-f]{32})(?:;|$)/.exec(cookieHeader ?? '')?.[1];
    const session = id === undefined ? undefined : this.#open.get(id);
    return session === undefined || this.#expired(session) ? undefined : session;
  }

  #expired(session: Session): boolean {
    return session.expires <= this.#now();
  }
}

/** The Set-Cookie header of a session. Without a path it holds for everything beside `/kbs/v0/auth`. */
export function sessionCookie(session: Session): string {
  return `kbs-session-id=${session.id}; Expires=${new Date(session.expires).toUTCString()}`;
}

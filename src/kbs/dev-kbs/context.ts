import type { AdminRules } from './admin/rules.ts';
import type { TokenTrust } from './attestation-token.ts';
import type { Era } from './era/index.ts';
import type { Metrics } from './metrics.ts';
import type { Policies } from './policies.ts';
import type { Store } from './store/store.ts';

/** What every endpoint works with. */
export interface Context {
  era: Era;
  registryDirectory: string;
  store: Store;
  policies: Policies;
  metrics: Metrics;
  admin: AdminRules;
  /** Launch digest, as hex, that a valid sample handshake is taken to have proved. */
  digest: string | undefined;
  /** Claims that such a handshake leads to. */
  claims: 'snp' | 'sample';
  tokenTrust: TokenTrust;
  /** Path of Open Policy Agent; without it the registry's records judge. */
  opa: string | undefined;
  /** Milliseconds since 1970. */
  now: () => number;
  /** What the Date headers tell; the same unless a proxy writes them. */
  dateHeader: () => number;
}

/** An answer with status 200. */
export interface Answer {
  body?: string | undefined;
  type?: 'application/json' | 'text/plain' | 'text/xml';
  cookie?: string;
}

/** Seconds since 1970. */
export function secondsOf({ now }: Pick<Context, 'now'>): number {
  return Math.floor(now() / 1000);
}

import type { AccessRule } from './admin/rules.ts';
import type { EraName } from './era/era.ts';
import type { Fault } from './faults/fault.ts';

/**
 * How to start a development KBS.
 *
 * In a test, against a broker of the newest era that forgets everything at its end, accepts forged tokens and
 * answers the first two requests for a resource with status 500:
 *
 *     await using kbs = await startDevelopmentKbs({
 *       stateDirectory, // gets ca.crt (kbs.caFile) and admin.key (kbs.adminKeyFile)
 *       registryDirectory, // may be empty
 *       era: 'main',
 *       inMemory: true,
 *       insecureTokens: true,
 *       faults: [{ kind: '500', first: 2, path: /resource\// }],
 *     });
 *     adminToken({ key: createPrivateKey(await readFile(kbs.adminKeyFile)) }) // is accepted
 *     await kbs.received.resource('keys/root/…') // what an administrator has sent
 */
export interface DevelopmentKbsOptions {
  /** Where its certificate authority, administrator key and received values are kept (mode 0700). */
  stateDirectory: string;
  /** Folder with the development registry and its policy.rego. */
  registryDirectory: string;
  /** 127.0.0.1 and a free port unless told otherwise. */
  listen?: { host: string; port: number };
  /** Whose endpoints, answers and rules it has: `field` (v0.14, July 2025; the default) or `main` (v0.21). */
  era?: EraName | undefined;
  /** Keep what administrators send in memory only; the certificate authority and the key stay on disk. */
  inMemory?: boolean | undefined;
  /** Launch digest, 96 hex digits, that a valid sample handshake is taken to have proved; without it none succeeds. */
  digest?: string | undefined;
  /**
   * Claims a valid sample handshake leads to: those of a SEV-SNP guest with the given digest, or (`sample`) those
   * that the real broker makes of sample evidence; these need no digest. `snp` unless told otherwise.
   */
  claims?: 'snp' | 'sample' | undefined;
  /** Path of Open Policy Agent, to judge by the policy text itself. */
  opa?: string | undefined;
  /** Where no policy was posted, judge by the one the era ships ("not sample"), not by the registry's policy.rego. */
  shippedPolicy?: boolean | undefined;
  /** Take attestation tokens signed by the key in their own header (`insecure_key`, `insecure_header_jwk`). */
  insecureTokens?: boolean | undefined;
  /** Take RS384 attestation tokens signed by the key among their own claims: early releases without a certificate. */
  cocoTokens?: boolean | undefined;
  /** Take administrators' tokens signed by the key in their own header (`insecure_header_jwk`; era `main`). */
  insecureAdminTokens?: boolean | undefined;
  /** Let everyone administer (`insecure_api`, `InsecureAllowAll`). */
  insecureApi?: boolean | undefined;
  /** Which role may use which endpoints (era `main`); `image-builder` may use all unless told otherwise. */
  accessRules?: readonly AccessRule[] | undefined;
  /** Issuer that an administrator's token must name (era `main`); not compared unless given. */
  adminIssuer?: string | undefined;
  /** Audience that an administrator's token must name (era `main`); unless given, a token with `aud` is refused. */
  adminAudience?: string | undefined;
  /** Failures to bring about, for tests of clients. */
  faults?: readonly Fault[] | undefined;
  /** Gets one line per request: time, method, path, status, who asked, reason. Never a secret. */
  log?: ((line: string) => void) | undefined;
  /** The broker's clock: milliseconds since 1970. */
  now?: (() => number) | undefined;
  /** The clock of its Date headers, which a proxy may write; the broker's own unless given. */
  dateHeader?: (() => number) | undefined;
}

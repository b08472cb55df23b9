import type { AdminRules } from '../admin/rules.ts';
import type { Refusal } from '../refusal.ts';

/** `field`: v0.14, July 2025, what NVIDIA FLARE's guides install. `main`: after v0.21, August 2026. */
export type EraName = 'field' | 'main';

/** Everything in which the two releases differ, as data. What is not here is the same in both. */
export interface Era {
  name: EraName;
  /** Methods that are routed below `/kbs/v0/`; others answer 405 without an error body. */
  methods: readonly string[];
  /** `GET /healthz` exists. */
  healthz: boolean;
  /** `POST attestation-policy` asks for an administrator's token. */
  attestationPolicyNeedsAdmin: boolean;
  /** `GET resource-policy`: the text itself, as base64url, or the names of the stored policies. */
  policyReadBack: 'text' | 'names';
  /** `GET reference-value`: all that have not expired as one object, or the one that is named in the path. */
  referenceValues: 'all' | 'one';
  /** Whether a path's file name is too long for the storage behind it (255 bytes). */
  nameTooLong: (path: string) => boolean;
  /** @throws Refusal `AdminAuth`. `uri` is path and query, `now` seconds since 1970. */
  checkAdmin: (authorization: string | undefined, rules: AdminRules, now: number, uri: string) => void;
  /** Type and text of an error body. `endpoint` is the first path segment. */
  describe: (refusal: Refusal, endpoint: string) => { type: string; detail: string };
  /** How a launch digest, given as hex, is written in the claims. */
  measurement: (hex: string) => string;
  policy: EraPolicy;
}

/** How a resource policy is evaluated. */
export interface EraPolicy {
  /** Rego dialect of a text without imports. */
  dialect: 'v0' | 'v1';
  /** `data` of an evaluation, for a resource path. */
  data: (path: string) => unknown;
  /** What an `allow` that is undefined or no boolean leads to. */
  undecided: 'error' | 'deny';
  /** The policy that the release installs where it finds none: whatever is not sample evidence gets everything. */
  shipped: string;
}

/** Texts that say no more than the type, in both eras: a client learns nothing else. */
const fixedDetails: Partial<Record<Refusal['type'], string>> = {
  JweError: 'JWE failed',
  PluginInternalError: 'Plugin internal error',
  PolicyDeny: 'Access denied by policy',
  TokenNotFound: 'Attestation Token not found',
  TokenVerifierError: 'Token Verifier error',
};

/** Type and text of the errors that both eras describe alike. */
export function describeAlike(refusal: Refusal): { type: string; detail: string } {
  const { type, told } = refusal;
  if (type === 'AttestationError') return { type, detail: `Attestation error: ${told}` };
  if (type === 'RvpsError') return { type, detail: `RVPS configuration failed: ${told}` };
  return { type, detail: fixedDetails[type] ?? told };
}

import type { AdminFindings } from './check-admin.ts';
import type { KbsReply } from './connection.ts';
import type { Finding } from './finding.ts';
import type { Kbs } from './kbs.ts';
import type { Probes } from './probes.ts';
import { errorBody } from './refusals.ts';

const ownSigner =
  "in its configuration give the attestation service a signer (attestation_token_broker.signer: key_path and cert_path, an EC P-256 key with its chain), set [attestation_token] trusted_certs_paths to that chain's root, and remove insecure_key or insecure_header_jwk (true accepts any token); then restart it, and count keys stored before as disclosed";

/** What the answers to forged attestation tokens prove: one that is believed is enough. */
export function tokenFinding(replies: readonly KbsReply[]): Finding {
  const id = 'forged-token';
  if (replies.some(wasBelieved)) {
    const what =
      'a forged attestation token was believed: whoever reaches the KBS can write any launch digest into such a token and is given the key of any image, without a confidential VM';
    return { id, severity: 'bad', what, remedy: ownSigner };
  }
  const unclear = replies.find((reply) => errorBody(reply)?.variant !== 'TokenVerifierError');
  if (unclear === undefined) {
    return { id, severity: 'ok', what: 'forged attestation tokens were refused' };
  }
  const answer = errorBody(unclear)?.variant ?? `status ${unclear.status}`;
  return {
    id,
    severity: 'unknown',
    what: `whether forged attestation tokens are believed could not be told (${answer})`,
    remedy:
      'look into its configuration: insecure_key and insecure_header_jwk must be absent or false, and trusted_certs_paths set',
  };
}

/** Policy, store and encryption have their say only once a token is believed. */
function wasBelieved(reply: KbsReply): boolean {
  return (
    reply.status === 200 || /^(?:Policy|ParsePolicy|PluginInternal|Jwe)/.test(errorBody(reply)?.variant ?? '')
  );
}

/** Seconds that a token of ours may be off at the strictest release: its default tolerance. */
const strictTolerance = 60;
/** Seconds at the most tolerant release. */
const widestTolerance = 15 * 60;

/** @param ahead milliseconds by which the KBS's clock is ahead of ours. */
export function clockFinding(ahead: number | undefined): Finding {
  const id = 'clock';
  if (ahead === undefined) return { id, severity: 'unknown', what: 'the KBS does not say what time it has' };
  const seconds = Math.round(Math.abs(ahead) / 1000);
  if (seconds <= 5) return { id, severity: 'ok', what: 'its clock agrees with the one of this machine' };
  const what = `its clock is ${seconds} s ${ahead > 0 ? 'ahead of' : 'behind'} the one of this machine`;
  const remedy = "set both clocks right (NTP): tokens and certificates are judged by the KBS's clock";
  if (seconds <= strictTolerance) return { id, severity: 'ok', what };
  return { id, severity: seconds > widestTolerance ? 'bad' : 'warn', what, remedy };
}

/**
 * Narrows the release down by what changed from one to the next. Guesses from the answers only: a proxy in
 * between can mislead, so nothing but this sentence depends on it.
 */
export async function releaseFinding(
  kbs: Kbs,
  probes: Probes,
  { attestationPolicyOpen, policyForm }: Pick<AdminFindings, 'attestationPolicyOpen' | 'policyForm'>,
): Promise<Finding> {
  const deletion = await kbs.probe(probes.deletion);
  // 405 is the web framework's; a KBS that knows the method asks who is there.
  const deletes = deletion.status === 405 ? false : errorBody(deletion) === undefined ? undefined : true;
  const health = deletes === true ? await kbs.probe({ method: 'GET', path: '/healthz' }) : undefined;
  const range = releaseRange({ attestationPolicyOpen, policyForm, deletes, healthy: health?.status === 200 });
  const id = 'release';
  if (range === undefined) {
    return { id, severity: 'unknown', what: 'its answers are of no release that this builder knows' };
  }
  const words = [
    ...(range.from === undefined ? [] : [`v0.${range.from} or later`]),
    ...(range.before === undefined ? [] : [`before v0.${range.before}`]),
  ];
  if (words.length === 0) return { id, severity: 'unknown', what: 'its release could not be told' };
  const what = `by its answers it is of release ${words.join(', ')}`;
  if (range.before !== undefined && range.before <= 15) {
    return { id, severity: 'bad', what, remedy: 'move to v0.15 or later' };
  }
  return { id, severity: 'ok', what };
}

export interface ReleaseTraits {
  /** Anybody may set the attestation policy: before v0.15. */
  attestationPolicyOpen: boolean | undefined;
  /** The policy's text (before v0.19), or a list of names. */
  policyForm: 'text' | 'names' | undefined;
  /** DELETE exists: from v0.20. */
  deletes: boolean | undefined;
  /** /healthz exists: from v0.21. */
  healthy: boolean;
}

/** Minor numbers: from this one, and before that one; undefined where the traits contradict each other. */
export function releaseRange(traits: ReleaseTraits): { from?: number; before?: number } | undefined {
  const { attestationPolicyOpen, policyForm, deletes, healthy } = traits;
  const from = [
    ...(attestationPolicyOpen === false ? [15] : []),
    ...(policyForm === 'names' ? [19] : []),
    ...(deletes === true ? [20] : []),
    ...(healthy ? [21] : []),
  ];
  const before = [
    ...(attestationPolicyOpen === true ? [15] : []),
    ...(policyForm === 'text' ? [19] : []),
    ...(deletes === false ? [20] : []),
  ];
  const lowest = from.length === 0 ? undefined : Math.max(...from);
  const highest = before.length === 0 ? undefined : Math.min(...before);
  if (lowest !== undefined && highest !== undefined && lowest >= highest) return undefined;
  return {
    ...(lowest === undefined ? {} : { from: lowest }),
    ...(highest === undefined ? {} : { before: highest }),
  };
}

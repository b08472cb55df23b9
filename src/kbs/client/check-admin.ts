import { lintPolicy } from '../policy/lint.ts';
import { type PolicyParts, splitPolicy } from '../policy/text.ts';
import { openAdministration } from './check-open.ts';
import type { KbsReply } from './connection.ts';
import type { Finding } from './finding.ts';
import type { Kbs } from './kbs.ts';
import { type Admission, admission, type Probes } from './probes.ts';
import { apiRoot, type StoredPolicy, storedPolicy } from './requests.ts';

export interface AdminFindings {
  findings: Finding[];
  attestationPolicyOpen: boolean | undefined;
  policyForm: 'text' | 'names' | undefined;
}

/**
 * Who may administer a KBS: nobody without a credential, and we with ours.
 * @param now seconds since 1970.
 */
export async function adminFindings(kbs: Kbs, probes: Probes, now: number): Promise<AdminFindings> {
  const { finding: open, toAll } = await openAdministration(kbs, probes, now);
  const attestation = admission(await kbs.probe(probes.attestationPolicy));
  const findings = [open];
  // Where everything is open this says nothing of the release.
  const telling = !toAll && open.severity !== 'unknown';
  const attestationPolicyOpen =
    !telling || attestation === 'unclear' ? undefined : attestation === 'admitted';
  if (telling) findings.push(attestationFinding(attestation));
  const stored = await readPolicy(kbs, toAll);
  findings.push(await credentialFinding(kbs, probes, toAll), policyFinding(stored));
  const policyForm = stored === undefined ? undefined : 'text' in stored ? 'text' : 'names';
  return { findings, attestationPolicyOpen, policyForm };
}

function attestationFinding(answer: Admission): Finding {
  const id = 'attestation-policy';
  if (answer === 'refused') return { id, severity: 'ok', what: 'its attestation policy is protected' };
  if (answer === 'unclear') {
    return { id, severity: 'unknown', what: 'whether its attestation policy is protected could not be told' };
  }
  return {
    id,
    severity: 'bad',
    what: 'anybody may replace its attestation policy, and so stop every attestation or have all evidence called "affirming"; the policy of this builder compares the launch digest itself and gives no key away by it',
    remedy: 'move to v0.15 or later, or let a proxy refuse POST /kbs/v0/attestation-policy',
  };
}

/** Whether what a push sends would be let in; each request of it is one that cannot succeed. */
async function credentialFinding(kbs: Kbs, probes: Probes, openToAll: boolean): Promise<Finding> {
  const id = 'credential';
  if (!kbs.hasCredential) {
    return {
      id,
      severity: 'unknown',
      what: 'no administrator credential was given to try',
      remedy: 'set kbs.admin_key or kbs.admin_token in builder.yml',
    };
  }
  if (openToAll) {
    return {
      id,
      severity: 'unknown',
      what: 'whether the credential is right does not show: every one is taken',
    };
  }
  const tried: [string, Admission][] = [];
  // An access list may name the paths of keys so exactly that the one which no store takes does not pass.
  for (const [what, requests] of [
    ['policies', [probes.policy]],
    ['keys', [probes.resource, probes.deletion]],
    ['reference values', [probes.referenceValues]],
  ] as const) {
    const answers: Admission[] = [];
    for (const request of requests) answers.push(admission(await kbs.probe(request, 'administrator')));
    tried.push([what, answers.includes('admitted') ? 'admitted' : answers[0]!]);
  }
  const named = (wanted: Admission) => tried.filter(([, got]) => got === wanted).map(([what]) => what);
  const refused = named('refused');
  if (refused.length > 0) {
    return {
      id,
      severity: 'bad',
      what: `the administrator's credential was refused for ${refused.join(', ')}`,
      remedy:
        "compare it with the KBS's [admin]: the public key, and from v0.21 on issuer, role and allowed_endpoints (/kbs/v0/resource-policy, /kbs/v0/resource/…, /kbs/v0/reference-value)",
    };
  }
  const unclear = named('unclear');
  if (unclear.length === 0) {
    return {
      id,
      severity: 'ok',
      what: "the administrator's credential is accepted for policies, keys and reference values",
    };
  }
  return {
    id,
    severity: 'unknown',
    what: `whether the credential is accepted for ${unclear.join(', ')} could not be told`,
  };
}

async function readPolicy(kbs: Kbs, isOpen: boolean): Promise<StoredPolicy | undefined> {
  if (!kbs.hasCredential && !isOpen) return undefined;
  const reply: KbsReply = await kbs.probe(
    { method: 'GET', path: `${apiRoot}/resource-policy` },
    'administrator',
  );
  return reply.status === 200 ? storedPolicy(reply) : undefined;
}

/** Judges the stored policy where the release shows it. */
export function policyFinding(stored: StoredPolicy | undefined): Finding {
  const id = 'stored-policy';
  const remedy = '`cvm policy push` stores the one of this builder';
  if (stored === undefined) {
    return { id, severity: 'unknown', what: 'its policy could not be read', remedy };
  }
  if (!('text' in stored)) {
    const what =
      'this release (v0.19 or later) does not show its policy; the one it comes with gives any key to any confidential VM';
    return { id, severity: 'unknown', what, remedy };
  }
  const parts = partsOf(stored.text);
  const managed = { start: parts.before.length, end: parts.before.length + parts.managed.length };
  const refusals = lintPolicy(stored.text, { managed }).filter(({ severity }) => severity === 'refuse');
  if (refusals.some(({ rule }) => rule === 'allow-sample')) {
    const what =
      'its policy asks for no more than that evidence is not a sample, as the one it was shipped with: any confidential VM is given any key';
    return { id, severity: 'bad', what, remedy };
  }
  if (refusals.length > 0) {
    const reasons = refusals.map(({ line, message }) => `line ${line}: ${message}`).slice(0, 5);
    return { id, severity: 'bad', what: `its policy is unsafe or dead: ${reasons.join('; ')}`, remedy };
  }
  return { id, severity: 'ok', what: 'its policy was read, and nothing is wrong with its form' };
}

/** A policy with damaged marks is judged whole. */
function partsOf(text: string): Pick<PolicyParts, 'before' | 'managed'> {
  try {
    return splitPolicy(text);
  } catch {
    return { before: text, managed: '' };
  }
}

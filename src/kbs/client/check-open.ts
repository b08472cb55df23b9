import type { KbsReply, KbsRequest } from './connection.ts';
import type { Finding } from './finding.ts';
import { selfMadeAdminToken, strangersAdminToken } from './forged-tokens.ts';
import type { Kbs } from './kbs.ts';
import { type Admission, admission, believedButNotAllowed, type Probes } from './probes.ts';

export interface OpenAdministration {
  finding: Finding;
  /** Nobody is asked for a token at all, so that no credential can be told from another. */
  toAll: boolean;
}

/**
 * Whether a KBS takes administration from people who hold none of its keys: without a token, with one of a stranger's,
 * and with one that brings its own key along.
 * @param now seconds since 1970.
 */
export async function openAdministration(kbs: Kbs, probes: Probes, now: number): Promise<OpenAdministration> {
  const nobody = await asked(kbs, probes, undefined);
  const stranger = await asked(kbs, probes, strangersAdminToken(kbs.identity, now));
  const selfMade = await asked(kbs, probes, selfMadeAdminToken(kbs.identity, now));
  const all = [...nobody, ...stranger, ...selfMade];
  const toAll = [...nobody, ...stranger].includes('admitted');
  if (toAll) return { finding: openToAll, toAll };
  if (selfMade.includes('admitted')) return { finding: openToForgers, toAll };
  const id = 'open-administration';
  if (all.every((answer) => answer === 'refused')) {
    const guess = kbs.hasCredential ? '' : ' (tried with a guessed issuer and role)';
    const what = `administration without the right credential was refused${guess}`;
    return { finding: { id, severity: 'ok', what }, toAll };
  }
  const what = 'whether it takes administration from anybody could not be told';
  const remedy = 'look into [admin] of its configuration';
  return { finding: { id, severity: 'unknown', what, remedy }, toAll };
}

/** What became of one token, or of none, at every endpoint that a thief of keys would use. */
async function asked(kbs: Kbs, probes: Probes, token: string | undefined): Promise<Admission[]> {
  const send = async (request: KbsRequest) => outcome(await kbs.probe({ ...request, token }));
  const answers = [await send(probes.policy), await send(probes.resource)];
  const deletion = await send(probes.deletion);
  // Older releases, and proxies, do not let this method through: only what gets in says something.
  return deletion === 'unclear' ? answers : [...answers, deletion];
}

const outcome = (reply: KbsReply): Admission =>
  believedButNotAllowed(reply) ? 'admitted' : admission(reply);

const openToAll: Finding = {
  id: 'open-administration',
  severity: 'bad',
  what: 'it takes administration from anybody, without or with any token: whoever reaches it can replace the policy, and then fetch or overwrite every key',
  remedy:
    'in its configuration under [admin] set auth_public_key and remove insecure_api (up to v0.15), or replace InsecureAllowAll by authentication with your public key (later)',
};

const openToForgers: Finding = {
  id: 'open-administration',
  severity: 'bad',
  what: "it believes an administrator's token that is signed by the key in its own header: whoever reaches it and knows or guesses a role can make one, replace the policy, and then fetch or overwrite every key",
  remedy:
    'in its configuration under [admin.authentication.bearer_jwt] remove insecure_header_jwk, and name your public key in identity_providers; then restart it and push again',
};

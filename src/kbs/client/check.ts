import { adminFindings } from './check-admin.ts';
import { clockFinding, releaseFinding, tokenFinding } from './check-answers.ts';
import type { KbsReply } from './connection.ts';
import { KbsFailure } from './failure.ts';
import type { Finding } from './finding.ts';
import { forgedTokens } from './forged-tokens.ts';
import type { Kbs } from './kbs.ts';
import { clockDifference, makeProbes } from './probes.ts';
import { errorBody, refusalMeaning } from './refusals.ts';

export interface CheckOptions {
  /** `<repository>/<type>` of the disk keys, as in `kbs.resource_prefix`. */
  resourcePrefix: string;
}

/**
 * Probes a KBS from outside and, where a credential is given, as its administrator. Nothing is changed by it: see
 * {@link makeProbes}. What stops all further probes ends the report: no connection, or no KBS.
 */
export async function check(kbs: Kbs, { resourcePrefix }: CheckOptions): Promise<Finding[]> {
  const probes = makeProbes(resourcePrefix);
  let first: Awaited<ReturnType<typeof clockDifference>>;
  try {
    first = await clockDifference(kbs, probes.asNobody);
  } catch (error) {
    if (!(error instanceof KbsFailure)) throw error;
    return [connectionFinding(kbs, error)];
  }
  const error = errorBody(first.reply);
  if (error === undefined) {
    const { means, hint } = refusalMeaning(first.reply, 'get-policy');
    const what = first.reply.status === 200 ? 'this is not the answer of a KBS' : means;
    return [
      {
        id: 'not-a-kbs',
        severity: 'bad',
        what: `${kbs.url}: ${what} (status ${first.reply.status})`,
        remedy: hint,
      },
    ];
  }
  const findings: Finding[] = [connected(kbs), clockFinding(first.ahead)];
  if (error.variant === 'PluginNotFound') {
    findings.push({
      id: 'no-resources',
      severity: 'bad',
      what: 'the KBS has no plugin that stores resources',
      remedy: 'add [[plugins]] with name = "resource" to its configuration',
    });
  }
  const now = Math.floor(Date.now() / 1000);
  const answers: KbsReply[] = [];
  for (const token of await forgedTokens(now)) answers.push(await kbs.probe({ ...probes.asNobody, token }));
  findings.push(tokenFinding(answers));
  const admin = await adminFindings(kbs, probes, now);
  findings.push(...admin.findings);
  findings.push(await releaseFinding(kbs, probes, admin));
  return findings;
}

function connectionFinding(kbs: Kbs, { means, hint }: KbsFailure): Finding {
  return {
    id: 'connection',
    severity: 'bad',
    what: `${kbs.url}: ${means}`,
    ...(hint === undefined ? {} : { remedy: hint }),
  };
}

function connected({ url }: Kbs): Finding {
  return url.startsWith('https:')
    ? { id: 'connection', severity: 'ok', what: `${url} has a certificate issued by the pinned one` }
    : {
        id: 'unencrypted',
        severity: 'warn',
        what: `${url} is not encrypted`,
        remedy: 'good for this very machine only: the CVMs need an https address',
      };
}

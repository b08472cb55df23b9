import { clockFinding } from './check-answers.ts';
import { KbsFailure } from './failure.ts';
import type { Finding } from './finding.ts';
import type { Kbs } from './kbs.ts';
import { clockDifference, makeProbes } from './probes.ts';
import { errorBody, refusalMeaning } from './refusals.ts';

/** What one harmless request tells. */
export interface FirstContact {
  findings: Finding[];
  /** Whether a KBS answered. */
  isKbs: boolean;
  /** Name of what kept the request from being answered, as in transport.ts. */
  failure?: string;
  /** When the server's own certificate ends, where it showed one. */
  certificateEnds?: Date;
}

/**
 * Asks a KBS, with no credential, for a resource that does not exist: shows whether it is there, under the pinned
 * certificate and the right name, and whether its clock is right. The first step of a check.
 * @param resourcePrefix `<repository>/<type>` of the disk keys.
 */
export async function firstContact(kbs: Kbs, resourcePrefix: string): Promise<FirstContact> {
  let first: Awaited<ReturnType<typeof clockDifference>>;
  try {
    first = await clockDifference(kbs, makeProbes(resourcePrefix).asNobody);
  } catch (error) {
    if (!(error instanceof KbsFailure)) throw error;
    return { findings: [connectionFinding(kbs, error)], isKbs: false, failure: error.id };
  }
  const error = errorBody(first.reply);
  if (error === undefined) return { findings: [strangerFinding(kbs, first.reply)], isKbs: false };
  const findings: Finding[] = [connected(kbs), clockFinding(first.ahead)];
  if (error.variant === 'PluginNotFound') {
    findings.push({
      id: 'no-resources',
      severity: 'bad',
      what: 'the KBS has no plugin that stores resources',
      remedy: 'add [[plugins]] with name = "resource" to its configuration',
    });
  }
  const { certificateEnds } = first.reply;
  return { findings, isKbs: true, ...(certificateEnds === undefined ? {} : { certificateEnds }) };
}

function connectionFinding(kbs: Kbs, { means, hint }: KbsFailure): Finding {
  return {
    id: 'connection',
    severity: 'bad',
    what: `${kbs.url}: ${means}`,
    ...(hint === undefined ? {} : { remedy: hint }),
  };
}

function strangerFinding(kbs: Kbs, reply: Parameters<typeof refusalMeaning>[0]): Finding {
  const { means, hint } = refusalMeaning(reply, 'get-policy');
  const what = reply.status === 200 ? 'this is not the answer of a KBS' : means;
  return {
    id: 'not-a-kbs',
    severity: 'bad',
    what: `${kbs.url}: ${what} (status ${reply.status})`,
    remedy: hint,
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

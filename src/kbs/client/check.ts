import { adminFindings } from './check-admin.ts';
import { releaseFinding, tokenFinding } from './check-answers.ts';
import type { KbsReply } from './connection.ts';
import type { Finding } from './finding.ts';
import { firstContact } from './first-contact.ts';
import { forgedTokens } from './forged-tokens.ts';
import type { Kbs } from './kbs.ts';
import { makeProbes } from './probes.ts';

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
  const { findings, isKbs } = await firstContact(kbs, resourcePrefix);
  if (!isKbs) return findings;
  const now = Math.floor(Date.now() / 1000);
  const answers: KbsReply[] = [];
  for (const token of await forgedTokens(now)) answers.push(await kbs.probe({ ...probes.asNobody, token }));
  findings.push(tokenFinding(answers));
  const admin = await adminFindings(kbs, probes, now);
  findings.push(...admin.findings);
  findings.push(await releaseFinding(kbs, probes, admin));
  return findings;
}

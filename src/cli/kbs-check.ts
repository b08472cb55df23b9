import { resolve } from 'node:path';
import { readBuilderFile } from '../build/builder-file.ts';
import { kbsAccess } from '../build/kbs-access.ts';
import type { BuilderConfig } from '../config/index.ts';
import { exitStatus } from '../host/errors.ts';
import { handleSignals } from '../host/signals.ts';
import { check, type Finding, openKbs, readCredential } from '../kbs/client/index.ts';
import { clip, oneLine } from '../report/text.ts';

export interface KbsCheckFlags {
  config?: string;
  /** In place of what builder.yml says. */
  url?: string;
  ca?: string;
  adminKey?: string;
  adminToken?: string;
  json?: boolean;
}

/** `cvm kbs check`: status 1 where something bad was found. */
export async function kbsCheckCommand(flags: KbsCheckFlags): Promise<void> {
  using interruption = handleSignals();
  const { builder, builderFolder } = await readBuilderFile(flags.config);
  const kbsSettings = settingsOf(builder.kbs, flags);
  const access = await kbsAccess({ kbs: kbsSettings }, builderFolder);
  // The key in binaries/ is for the KBS of builder.yml, too.
  const foreign = flags.url !== undefined && flags.url.replace(/\/+$/, '') !== builder.kbs.url;
  const source = foreign ? { keyFile: kbsSettings.adminKey, tokenFile: kbsSettings.adminToken } : access;
  const { credential, warnings } = await readCredential({
    ...source,
    issuer: kbsSettings.adminIssuer,
    role: kbsSettings.adminRole,
  });
  for (const warning of warnings) process.stderr.write(`warning: ${shown(warning)}\n`);
  using kbs = openKbs({ url: access.url, ca: access.ca?.pem, credential, signal: interruption.signal });
  const findings = await check(kbs, kbsSettings);
  const text = flags.json ? JSON.stringify({ url: kbs.url, findings }) : findingsText(findings);
  process.stdout.write(`${text}\n`);
  if (findings.some(({ severity }) => severity === 'bad')) process.exitCode = exitStatus.failed;
}

/** A credential of builder.yml goes to the KBS of builder.yml only: another address needs one of its own. */
function settingsOf(kbs: BuilderConfig['kbs'], flags: KbsCheckFlags): BuilderConfig['kbs'] {
  const absolute = (path: string | undefined) => (path === undefined ? undefined : resolve(path));
  const url = flags.url?.replace(/\/+$/, '') ?? kbs.url;
  const given = flags.adminKey !== undefined || flags.adminToken !== undefined;
  const [adminKey, adminToken] =
    given || url !== kbs.url
      ? [absolute(flags.adminKey), absolute(flags.adminToken)]
      : [kbs.adminKey, kbs.adminToken];
  return { ...kbs, url, ca: absolute(flags.ca) ?? kbs.ca, adminKey, adminToken };
}

/** One paragraph for each finding, the bad ones first. */
export function findingsText(findings: readonly Finding[]): string {
  const order: Finding['severity'][] = ['bad', 'warn', 'unknown', 'ok'];
  const sorted = order.flatMap((severity) => findings.filter((finding) => finding.severity === severity));
  return sorted
    .flatMap(({ severity, what, remedy }) => [
      `${severity.padEnd(7)}  ${shown(what)}`,
      ...(remedy === undefined || severity === 'ok' ? [] : [`         remedy: ${shown(remedy)}`]),
    ])
    .join('\n');
}

const shown = (text: string) => clip(oneLine(text), 4000);

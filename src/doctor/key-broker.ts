import { X509Certificate } from 'node:crypto';
import { type KbsAccess, kbsAccess } from '../build/kbs-access.ts';
import { type Finding, firstContact, openKbs, readCredential } from '../kbs/client/index.ts';
import type { Check, CheckGroup, Outcome, Status } from './check.ts';
import type { Situation } from './situation.ts';

/** Days before its end from which a certificate is spoken of. */
const warnDays = 30;
/** Milliseconds for the one request. */
const probeTime = 5_000;

const noBroker: Outcome = { status: 'info', says: 'no key broker is known' };

/** The check where builder.yml knows a key broker. */
function withBroker(
  run: (access: KbsAccess, situation: Situation, signal: AbortSignal) => Promise<Outcome>,
  without = noBroker,
) {
  return async ({ situation, signal }: Parameters<Check['run']>[0]): Promise<Outcome> => {
    const { builder, builderFolder, binaries } = situation;
    if (builder.kbs.url === undefined) return without;
    return run(await kbsAccess(builder, builderFolder, binaries), situation, signal);
  };
}

const certificate: Check = {
  id: 'key-broker.certificate',
  title: 'pinned certificate',
  run: withBroker(async ({ ca }) => {
    if (ca === undefined) return { status: 'info', says: 'none: the address is not https' };
    return judgeCertificates(ca.pem, ca.file, Date.now());
  }),
};

/**
 * Whether the certificates that bundles pin are valid, and for how long.
 * @param now milliseconds since 1970
 */
export function judgeCertificates(pem: string, file: string, now: number): Outcome {
  const blocks = pem.match(/-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----/g) ?? [];
  let read: X509Certificate[];
  try {
    read = blocks.map((block) => new X509Certificate(block));
  } catch {
    read = [];
  }
  const facts = { file };
  if (read.length === 0) {
    const hint = 'it must hold certificates in PEM: see kbs.ca';
    return { status: 'problem', says: `${file} holds a certificate that cannot be read`, hint, facts };
  }
  const late = read.find(({ validFrom }) => Date.parse(validFrom) > now);
  if (late !== undefined) {
    const says = `${file} is not valid before ${day(Date.parse(late.validFrom))}`;
    return { status: 'problem', says, hint: "check this machine's clock, and the certificate", facts };
  }
  const ends = Math.min(...read.map(({ validTo }) => Date.parse(validTo)));
  const hint = 'bundles pin it: renew it, and build them again, before its end';
  return { ...judgeEnd(ends, now, file, hint), facts: { ...facts, ends: new Date(ends).toISOString() } };
}

function judgeEnd(ends: number, now: number, what: string, hint: string): Outcome {
  if (ends <= now) return { status: 'problem', says: `${what} has expired on ${day(ends)}`, hint };
  const days = Math.floor((ends - now) / 86_400_000);
  const says = `${what} is valid until ${day(ends)}`;
  return days < warnDays
    ? { status: 'warning', says: `${says}, ${days} days from now`, hint }
    : { status: 'ok', says };
}

const day = (time: number) => new Date(time).toISOString().slice(0, 10);

const credential: Check = {
  id: 'key-broker.credential',
  title: 'administrator',
  run: withBroker(async ({ keyFile, tokenFile }, { builder: { kbs } }) => {
    const source = { keyFile, tokenFile, issuer: kbs.adminIssuer, role: kbs.adminRole };
    const { credential: found, warnings } = await readCredential(source);
    if (found === undefined) {
      const says = 'neither key nor token is known: builds end without a push';
      return { status: 'info', says, hint: 'set kbs.admin_key or kbs.admin_token in builder.yml' };
    }
    const says = `${found.kind} in ${found.file}`;
    return warnings.length === 0 ? { status: 'ok', says } : { status: 'warning', says, details: warnings };
  }),
};

const onlyDevelopment: Outcome = {
  status: 'info',
  says: 'builder.yml names no key broker: development bundles only',
  hint: 'set kbs.url in builder.yml',
};

const reach: Check = {
  id: 'key-broker.reach',
  title: 'connection',
  run: withBroker(async (access, situation, signal) => {
    if (situation.offline) return { status: 'info', says: 'not asked (--offline)' };
    const { kbs: settings } = situation.builder;
    using kbs = openKbs({
      url: access.url,
      ca: access.ca?.pem,
      signal,
      timeoutMs: probeTime,
      retryAfterMs: [],
    });
    const { findings, failure, certificateEnds } = await firstContact(kbs, settings.resourcePrefix);
    const known = access.keyFile !== undefined || access.tokenFile !== undefined;
    const pushes = settings.push === 'script' || (settings.push === 'auto' && known);
    const outcome = judgeContact(findings, failure, pushes);
    const facts = { url: kbs.url, ...(failure === undefined ? {} : { failure }) };
    if (certificateEnds === undefined || outcome.status === 'problem') return { ...outcome, facts };
    const ends = certificateEnds.getTime();
    const its = judgeEnd(ends, Date.now(), 'its own certificate', 'renew it under the same authority');
    const all = { ...facts, certificateEnds: certificateEnds.toISOString() };
    if (its.status === 'ok' || outcome.status !== 'ok') return { ...outcome, facts: all };
    return { ...its, says: `${kbs.url}: ${its.says}`, facts: all };
  }, onlyDevelopment),
};

/** Failures of which a build that does not push takes no notice: the key broker may be up when the CVM asks. */
const passing = new Set(['refused', 'no-such-host', 'name-service', 'unreachable', 'timeout', 'dropped']);

/**
 * The gravest finding, in the doctor's words.
 * @param pushes whether a production build ends by asking this key broker
 */
export function judgeContact(
  findings: readonly Finding[],
  failure: string | undefined,
  pushes: boolean,
): Outcome {
  const order: Finding['severity'][] = ['bad', 'warn', 'unknown', 'ok'];
  const [gravest] = order.flatMap((severity) => findings.filter((finding) => finding.severity === severity));
  if (gravest === undefined) return { status: 'warning', says: 'nothing was found out' };
  const mild = failure !== undefined && passing.has(failure) && !pushes;
  const statuses: Record<Finding['severity'], Status> = {
    bad: mild ? 'warning' : 'problem',
    warn: 'warning',
    unknown: 'info',
    ok: 'ok',
  };
  const { severity, what, remedy } = gravest;
  return { status: statuses[severity], says: what, ...(remedy === undefined ? {} : { hint: remedy }) };
}

/** The key broker of production images. `cvm kbs check` looks closer. */
export const keyBrokerChecks: CheckGroup = {
  id: 'key-broker',
  title: 'Key broker',
  checks: [reach, certificate, credential],
};

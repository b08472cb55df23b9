import { join } from 'node:path';
import { type ReachableSuite, reachableSuites, verdictOf } from '../base/index.ts';
import { existingPath, pathContext } from '../build/builder-file.ts';
import { messageOf, UserError } from '../host/errors.ts';
import { workDirectory } from '../host/temp.ts';
import { readFirmware } from '../measure/index.ts';
import type { Check, CheckGroup, Outcome } from './check.ts';

const base: Check = {
  id: 'sources.base',
  title: 'base system',
  run: async ({ situation }) => {
    const { image } = situation.builder.base;
    if (image !== undefined) {
      const file = existingPath(image, pathContext(situation.builderFolder));
      return { status: 'ok', says: `imported from ${file}`, facts: { cached: false } };
    }
    const found = await situation.base();
    if (found === undefined) {
      return { status: 'info', says: 'not there yet: the first build makes it', facts: { cached: false } };
    }
    const days = Math.floor((Date.now() - Date.parse(found.builtAt)) / 86_400_000);
    const facts = { cached: true, origin: found.origin, builtAt: found.builtAt };
    const says = `cached (${found.origin}, ${days} ${days === 1 ? 'day' : 'days'} old)`;
    if (days <= 30) return { status: 'ok', says, facts };
    return { status: 'warning', says, hint: "--refresh-base brings today's security updates", facts };
  },
};

const firmware: Check = {
  id: 'sources.firmware',
  title: 'firmware',
  timeLimit: 30_000,
  run: async ({ situation, signal }) => {
    const found = await situation.firmware();
    if (found === undefined) {
      const says = 'not there yet: the first build fetches it from Debian';
      return {
        status: 'info',
        says,
        hint: 'or put OVMF.amdsev.fd into base_images/',
        facts: { found: false },
      };
    }
    const { builder } = situation;
    const parsed = await readFirmware(found.file).catch((error: unknown) => {
      const hint = 'it must be an AmdSev build of OVMF, whole: OVMF.amdsev.fd';
      throw new UserError(messageOf(error), { hint });
    });
    const { verdict, reason } = await verdictOf(parsed, { signal });
    const accepted = builder.acceptFirmware.includes(parsed.sha256);
    const facts = { found: true, origin: found.origin, sha256: parsed.sha256, verdict, accepted };
    if (verdict === 'sound') return { status: 'ok', says: `sound; from ${found.origin}`, facts };
    const says = `${verdict}: ${reason}; from ${found.origin}`;
    if (accepted) return { status: 'info', says: `${says}; accepted by its SHA-256`, facts };
    return {
      // Without a key broker only development bundles are built, which take any firmware.
      status: builder.kbs.url === undefined ? 'info' : 'warning',
      says: `${says}; production builds stop at it`,
      hint: `use sound firmware, or take this one at your own word: --accept-firmware ${parsed.sha256}`,
      facts,
    };
  },
};

/** Milliseconds for the release files of all sources. */
const aptTime = 25_000;

const apt: Check = {
  id: 'sources.apt',
  title: 'apt sources',
  timeLimit: aptTime + 5_000,
  run: async ({ situation, signal }) => {
    if (situation.offline) return { status: 'info', says: 'not asked (--offline)' };
    const ahead = await situation.stepsAhead();
    const bad = ahead.has('base') || ahead.has('firmware') ? 'problem' : 'warning';
    const limit = AbortSignal.timeout(aptTime);
    await using work = await workDirectory();
    try {
      const suites = await reachableSuites(join(work.path, 'apt'), AbortSignal.any([signal, limit]));
      const outcome = judgeSuites(suites, situation.builder.base.suite);
      return outcome.status === 'ok' ? outcome : { ...outcome, status: bad };
    } catch (error) {
      signal.throwIfAborted();
      const says = limit.aborted ? `no answer within ${aptTime / 1000} s` : messageOf(error);
      return { status: bad, says, hint: 'apt-get update says more; look into /etc/apt/sources.list*' };
    }
  },
};

/** Whether a base can be built from suites: Debian's or Ubuntu's, and the wanted one where one is named. */
export function judgeSuites(suites: readonly ReachableSuite[], wanted: string | undefined): Outcome {
  const known = suites.filter(({ origin }) => origin === 'Debian' || origin === 'Ubuntu');
  const names = [...new Set(known.map(({ codename }) => codename))].sort();
  const facts = { suites: names };
  if (names.length === 0) {
    const hint = 'add the archive of your distribution to /etc/apt/sources.list*';
    return { status: 'problem', says: 'they hold no Debian or Ubuntu archive', hint, facts };
  }
  if (wanted !== undefined && !names.includes(wanted)) {
    const says = `they have no suite ${wanted}, which base.suite names; they have ${names.join(', ')}`;
    return { status: 'problem', says, hint: 'correct base.suite in builder.yml, or add that suite', facts };
  }
  return { status: 'ok', says: `signed and reachable: ${names.join(', ')}`, facts };
}

/** What bundles are made from. */
export const sourceChecks: CheckGroup = {
  id: 'sources',
  title: 'Base and firmware',
  checks: [base, firmware, apt],
};

import { join } from 'node:path';
import {
  type FirmwareFacts,
  type FoundFirmware,
  fetchedFirmware,
  firmwarePlaces,
  inspectFirmware,
} from '../../base/index.ts';
import { projectRoot } from '../../build/builder-file.ts';
import { cacheRoot } from '../../build/settings.ts';
import { openCache } from '../../graph/cache.ts';
import { exitStatus, messageOf, UserError } from '../../host/errors.ts';
import { handleSignals } from '../../host/signals.ts';
import { clip, oneLine } from '../../report/text.ts';

export interface FirmwareFlags {
  config?: string;
  fetch?: boolean;
  json?: boolean;
}

/** One place where a build looks for firmware. */
export interface PlaceReport {
  place: string;
  /** A build takes this one. */
  used: boolean;
  /** Absent where nothing is there, or nothing that can be read. */
  facts?: FirmwareFacts;
  /** Why what is there cannot be read. */
  problem?: string;
}

/** `cvm base firmware`: what a build would take, and what that is worth. Status 1 where it could take none. */
export async function firmwareCommand(flags: FirmwareFlags): Promise<void> {
  using interruption = handleSignals();
  const { signal } = interruption;
  const cache = openCache(await cacheRoot(flags.config));
  const progress = (text: string) => void process.stderr.write(`${text}\n`);
  if (flags.fetch) await fetchedFirmware({ cache, signal, progress });
  const places = await firmwarePlaces({ cache, baseImages: join(projectRoot, 'base_images') });
  const first = places.find(({ found }) => found !== undefined);
  const reports: PlaceReport[] = [];
  for (const one of places) {
    reports.push({ place: one.place, used: one === first, ...(await factsOf(one.found, signal)) });
  }
  const text = flags.json ? JSON.stringify({ places: reports }, undefined, 2) : placesText(reports);
  process.stdout.write(`${text}\n`);
  const used = reports.find((report) => report.used);
  if (used?.facts === undefined || used.facts.unfit !== undefined) process.exitCode = exitStatus.failed;
}

async function factsOf(
  found: FoundFirmware | undefined,
  signal: AbortSignal,
): Promise<Pick<PlaceReport, 'facts' | 'problem'>> {
  if (found === undefined) return {};
  try {
    return { facts: await inspectFirmware(found, { signal }) };
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    return { problem: messageOf(error) };
  }
}

/** A line for each place in the order of the search, with what is there below it. */
export function placesText(reports: readonly PlaceReport[]): string {
  const lines = reports.flatMap(({ place, used, facts, problem }) => {
    const there = facts !== undefined || problem !== undefined;
    return [
      `${used ? 'used  ' : '      '}${place}${there ? '' : ': nothing there'}`,
      ...(problem === undefined ? [] : [`        cannot be used: ${shown(problem)}`]),
      ...(facts === undefined ? [] : factsText(facts).map((line) => `        ${line}`)),
    ];
  });
  const used = reports.find((report) => report.used);
  if (used === undefined) {
    lines.push("A build would fetch Debian's ovmf-amdsev; `cvm base firmware --fetch` does it now.");
  }
  if (used?.facts?.verdict !== 'sound') {
    lines.push('`cvm base firmware build` makes a sound one, which production bundles need.');
  }
  return lines.join('\n');
}

/** What {@link inspectFirmware} found, a line for each fact. */
export function factsText(facts: FirmwareFacts): string[] {
  const { file, origin, sha256, version, hashTableAddress, snpSections, verdict, reason, unfit } = facts;
  const row = (name: string, text: string) => `${name.padEnd(15)}${shown(text)}`;
  return [
    row('file', file),
    ...(origin === file || facts.package !== undefined ? [] : [row('from', origin)]),
    ...(facts.package === undefined ? [] : [row('package', facts.package)]),
    ...(version === undefined ? [] : [row('version', version)]),
    row('SHA-256', sha256),
    row('kernel hashes', hashTableAddress === undefined ? 'not checked' : `table at ${hashTableAddress}`),
    row('SNP metadata', snpSections === 0 ? 'none' : `${snpSections} sections`),
    row('verdict', `${verdict}: ${reason}`),
    ...(unfit === undefined ? [] : [row('cannot be used', unfit)]),
  ];
}

const shown = (text: string) => clip(oneLine(text), 1000);

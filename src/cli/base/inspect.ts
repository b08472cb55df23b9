import {
  type BaseReport,
  type Found,
  inspectBase,
  type Missing,
  type Need,
  remedy,
} from '../../base/index.ts';
import { exitStatus } from '../../host/errors.ts';
import { handleSignals } from '../../host/signals.ts';
import { clip, oneLine } from '../../report/text.ts';
import { type BaseSubjectFlags, baseSubject } from './subject.ts';

export interface InspectFlags extends BaseSubjectFlags {
  json?: boolean;
}

/** `cvm base inspect`: status 1 where a production bundle of this base would not boot. */
export async function inspectCommand(named: string | undefined, flags: InspectFlags): Promise<void> {
  using interruption = handleSignals();
  const { signal } = interruption;
  const { base } = await baseSubject(named, flags, signal);
  const report = await inspectBase(base.squashfs, { signal });
  const { id, origin } = base;
  const text = flags.json
    ? JSON.stringify({ id, origin, boots: boots(report), ...report })
    : [
        shown(`base ${id.slice(0, 12)} (${origin}), ${report.distribution.name}`),
        ...reportLines(report),
      ].join('\n');
  process.stdout.write(`${text}\n`);
  if (!boots(report)) process.exitCode = exitStatus.failed;
}

const boots = ({ missing }: BaseReport) => missing.every(({ need }) => need !== 'boot');

const purposes: Record<Need, string> = {
  boot: 'every bundle',
  development: 'development bundles',
  share: 'an NFS share',
};

/** What is there, what is not and what brings it, what is good to know, the verdict. */
export function reportLines(report: BaseReport): string[] {
  const { found, missing, notes } = report;
  const hint = missing.length > 0 ? [`hint: ${remedy(report)}`] : [];
  return [
    '',
    ...foundLines(found),
    ...missing.map(missingText),
    '',
    ...notes.map((note) => `note: ${note}`),
    ...hint,
    verdict(report),
  ].map(shown);
}

/** One line for each version, with all that has it: a package's files come together. */
function foundLines(found: readonly Found[]): string[] {
  const byVersion = Map.groupBy(found, ({ version }) => version ?? '');
  return [...byVersion].map(
    ([version, things]) =>
      `found    ${things.map(({ what }) => what).join(' ')}${version === '' ? '' : ` (${version})`}`,
  );
}

const missingText = ({ what, why, need, package: name }: Missing) =>
  `MISSING  ${what}: ${why}; for ${purposes[need]}${name === undefined ? '' : ` (package ${name})`}`;

function verdict(report: BaseReport): string {
  if (!boots(report)) return 'A bundle of this base would not boot.';
  const rest = [...new Set(report.missing.map(({ need }) => purposes[need]))];
  return rest.length === 0
    ? 'The base has all that a CVM needs.'
    : `The base has all that a production bundle needs, but not what ${rest.join(' and ')} would.`;
}

/** Names in an image may hold anything. */
const shown = (line: string) => clip(oneLine(line), 4000);

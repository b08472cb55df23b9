import { type CheckedBundle, type Finding, manifestOf, openSource, verifyBundle } from '../bundle/index.ts';
import { exitStatus } from '../host/errors.ts';
import { handleSignals } from '../host/signals.ts';
import { furtherVerification, readKeyFile } from '../inspect/index.ts';
import { readHandoffRecord } from '../kbs/index.ts';
import { clip, oneLine } from '../report/text.ts';
import { placeOfKind } from './policy/directory.ts';

export interface VerifyFlags {
  handoff?: string;
  /** File of the disk key. */
  key?: string;
  /** Policy directory, in place of the one that builder.yml names. */
  directory?: string;
  config?: string;
  json?: boolean;
}

/** `cvm verify`: status 0 only for a bundle that is whole. What it prints of a bundle is made harmless first. */
export async function verifyCommand(bundle: string, flags: VerifyFlags): Promise<void> {
  using interruption = handleSignals();
  const { signal } = interruption;
  const record = flags.handoff === undefined ? undefined : await readHandoffRecord(flags.handoff);
  const key = flags.key === undefined ? undefined : await readKeyFile(flags.key);
  await using source = await openSource(bundle, { signal });
  const { kind } = await manifestOf(source);
  const place = await placeOfKind(kind, flags);
  const progress = flags.json ? undefined : progressLine(process.stderr);
  const further = await furtherVerification(source, {
    key,
    policyDirectory: place.directory,
    signal,
    progress,
  });

  const checked = await verifyBundle(source, { record, signal, ...further });
  key?.wipe();
  const text = flags.json ? verificationJson(checked) : verificationText(checked);
  process.stdout.write(`${text}\n`);
  if (!checked.whole) process.exitCode = exitStatus.failed;
}

/** Tells on a terminal how far the longest check is, in one line that is taken away at its end. */
function progressLine(output: NodeJS.WriteStream): ((done: number, total: number) => void) | undefined {
  if (!output.isTTY) return undefined;
  let shown = -1;
  return (done, total) => {
    const percent = Math.floor((100 * done) / total);
    if (percent === shown) return;
    shown = percent;
    output.write(percent === 100 ? '\r\u001b[K' : `\rsealed payload: ${percent} %`);
  };
}

const failures = ({ findings }: { findings: readonly Finding[] }) =>
  findings.filter(({ severity }) => severity === 'failure');

/** The check without which the manifest is the bundle's own word. */
const recordCheckName = 'hand-off record';

/** One line for each check, then each finding, then the verdict. */
export function verificationText({ manifest, checks, whole }: CheckedBundle): string {
  const { id, name, kind, created, builder_version } = manifest;
  const subjects = (findings: readonly Finding[]) => [...new Set(findings.map(({ subject }) => subject))];
  const bad = subjects(checks.flatMap(failures));
  const unchecked = checks.filter((check) => stateOf(check) === 'not checked').map(({ name }) => name);
  const others = unchecked.filter((name) => name !== recordCheckName);
  const lines = [
    `cvm_${id}: ${kind} bundle of ${name}, built ${created} by version ${builder_version}`,
    '',
    ...checks.map((check) => {
      const changed = subjects(failures(check));
      return `${stateOf(check).padEnd(11)}  ${[check.name.padEnd(16), changed.join(', ')].join(' ').trimEnd()}`;
    }),
    '',
    ...checks.flatMap(({ findings }) => findings.flatMap(findingLines)),
    [
      whole
        ? `The bundle is whole${unchecked.includes(recordCheckName) ? ' by its own manifest.json' : ''}.`
        : `The bundle is not whole: ${bad.join(', ')}.`,
      ...(others.length === 0 ? [] : [`Not checked: ${others.join(', ')}.`]),
    ].join(' '),
  ];
  return lines
    .map((line) => line.replace(/^( *)(.*)$/s, (_, indent, rest) => indent + clip(oneLine(rest), 4000)))
    .join('\n');
}

function stateOf(check: { findings: readonly Finding[] }): 'ok' | 'changed' | 'not checked' {
  if (failures(check).length > 0) return 'changed';
  return check.findings.some(({ severity }) => severity === 'not checked') ? 'not checked' : 'ok';
}

function findingLines(finding: Finding): string[] {
  const { subject, severity, file, line, text, expected, found, consequence, details = [] } = finding;
  const inside =
    file === undefined || subject.includes(file)
      ? []
      : [file, ...(line === undefined ? [] : [`line ${line}`])];
  const where = inside.join(', ');
  const head = `${severity === 'failure' ? '' : 'note: '}${subject}${where === '' ? '' : ` (${where})`} ${text}`;
  return [
    head,
    ...(expected === undefined ? [] : [`  expected  ${expected}`]),
    ...(found === undefined ? [] : [`  found     ${found}`]),
    ...details.slice(0, 40).map((detail) => `  ${detail}`),
    ...(details.length > 40 ? [`  and ${details.length - 40} more`] : []),
    ...(consequence === undefined ? [] : [`  ${consequence}`]),
    '',
  ];
}

/** The same for programs, in one line of ASCII. */
export function verificationJson({ manifest, checks, whole }: CheckedBundle): string {
  const report = {
    id: manifest.id,
    name: manifest.name,
    kind: manifest.kind,
    whole,
    checks: checks.map((check) => ({
      name: check.name,
      state: stateOf(check),
      findings: check.findings,
    })),
  };
  const escaped = (unit: string) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`;
  return JSON.stringify(report).replaceAll(/[\u007f-\uffff]/g, escaped);
}

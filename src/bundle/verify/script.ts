import packageJson from '../../../package.json' with { type: 'json' };
import { type LaunchScriptReading, readLaunchScript } from '../launch-script/read.ts';
import { valueMark } from '../launch-script/rest.ts';
import { launchScript } from '../launch-script/write.ts';
import type { Manifest } from '../manifest.ts';
import { type ChangedLines, compareLines, type NumberedLine } from './compare-lines.ts';
import { isAsListed } from './files.ts';
import type { Check, Finding } from './finding.ts';
import type { AdminRecord } from './record.ts';
import { compareValues } from './script-values.ts';

const subject = 'launch_vm.sh';

/**
 * launch_vm.sh against what was measured, value by value, and the rest of it against what the builder writes. The
 * script is read, never run. Nobody attests that rest: only the administrator's record of the file can vouch for it
 * where this builder does not know what it should be.
 */
export const scriptCheck = (record: AdminRecord | undefined): Check => ({
  name: subject,
  async run({ manifest, files }) {
    const file = files.get(subject);
    // A missing file is told by the check of files.
    if (file?.state !== 'read') return [];
    const listed = isAsListed(file, manifest.files[subject]);
    const reading = readLaunchScript(file.start.toString('utf8'));
    if (reading.problem !== undefined) {
      const { cause, line } = reading.problem;
      const text = `cannot be read: ${cause}`;
      const at = line === undefined ? {} : { line };
      return [{ subject, severity: 'failure', text, file: subject, ...at }];
    }
    const values = compareValues(reading.values, manifest);
    const recorded = record?.files?.[subject] === file.sha256;
    const rest = recorded ? [] : await compareRest(reading, manifest, { listed, record });
    if (listed || [...values, ...rest].some(({ severity }) => severity === 'failure')) {
      return [...values, ...rest];
    }
    const text = 'is not the file that was built, though each measured value in it is as measured';
    const { sha256: expected } = manifest.files[subject];
    const details = ['ports, a writable user_data drive, comments or ways of writing a value can differ'];
    return [
      ...rest,
      {
        subject,
        severity: 'failure',
        text,
        expected: `SHA-256 ${expected}`,
        found: `SHA-256 ${file.sha256}`,
        details,
      },
    ];
  },
});

/** Lines beside the measured values, of a file that no record vouches for. */
async function compareRest(
  reading: LaunchScriptReading,
  manifest: Manifest,
  { listed, record }: { listed: boolean; record: AdminRecord | undefined },
): Promise<Finding[]> {
  const { builder_version: version } = manifest;
  if (version !== packageJson.version) {
    const text = `was written by version ${version}, says manifest.json: this builder, ${packageJson.version}, knows only its measured values, not its other lines`;
    // Without a record the version is one more of the bundle's own words; one that vouches for nothing here must not pass.
    return [{ subject, severity: record === undefined ? 'not checked' : 'failure', text }];
  }
  const changes = compareLines(await builtRest(reading, manifest), reading.rest);
  const [first] = changes;
  if (first === undefined) return [];
  const why = listed ? ', though manifest.json lists this very file' : '';
  return [
    {
      subject: `other lines of ${subject}`,
      severity: 'failure',
      file: subject,
      line: first.found[0]?.line ?? 1,
      text: `(${describe(changes)}) differ from what the builder writes${why}`,
      consequence: 'the launch digest does not cover these lines',
      details: changes.flatMap(showChange),
    },
  ];
}

/** What the builder would write around the values. Ports and the user_data drive's mode stand nowhere but in the script. */
async function builtRest(
  { allowedPorts, userDataReadonly }: LaunchScriptReading,
  { id, kind, launch }: Manifest,
): Promise<readonly NumberedLine[]> {
  const ports = 'cause' in allowedPorts ? [] : allowedPorts.value;
  const built = await launchScript({
    id,
    kind,
    launch,
    allowedPorts: ports.filter((port) => /^[1-9]\d{0,4}$/.test(port) && Number(port) <= 65_535).map(Number),
    userDataWritable: !('cause' in userDataReadonly) && userDataReadonly.value === 'off',
  });
  return readLaunchScript(built).rest;
}

function describe(changes: readonly ChangedLines[]): string {
  const found = changes.flatMap((change) => change.found.map(({ line }) => line));
  if (found.length === 0) return 'some are missing';
  return found.length <= 12 ? found.join(', ') : `${found.slice(0, 12).join(', ')}, …`;
}

function showChange({ expected, found }: ChangedLines): string[] {
  const show = (text: string) => text.replaceAll(valueMark, '…');
  return [
    ...found.map(({ line, text }) => `line ${line}: ${show(text)}`),
    ...expected.map(({ text }) => `${found.length > 0 ? 'in place of' : 'missing'}: ${show(text)}`),
  ];
}

import packageJson from '../../../package.json' with { type: 'json' };
import { hashTableAddress, judgeFirmware, MeasurementError } from '../../measure/index.ts';
import { commandLine } from '../launch.ts';
import { compareCommandLines } from './command-line.ts';
import { firmwareOf } from './digests.ts';
import { isAsListed } from './files.ts';
import type { Check, ExaminedBundle, Finding } from './finding.ts';

/** Fields of the manifest against one another, against the folder's name, and against what this builder knows. */
export const manifestCheck: Check = {
  name: 'manifest.json',
  run: (bundle) => [...identity(bundle), ...cmdline(bundle), ...tableAddress(bundle), ...verdict(bundle)],
};

function differs(subject: string, expected: string, found: string, text: string): Finding[] {
  if (expected === found) return [];
  return [{ subject, severity: 'failure', text, file: 'manifest.json', expected, found }];
}

function identity({ source, manifest: { id, kbs } }: ExaminedBundle): Finding[] {
  return [
    ...differs('id', source.folderName, `cvm_${id}`, "is not that of the folder's name"),
    ...differs(
      'resource path',
      id,
      // An image that was built again under its id has a number behind it.
      kbs.resource
        .split('/')
        .at(-1)!
        .replace(/\.[1-9]\d*$/, ''),
      "does not end in the image's id",
    ),
  ];
}

function cmdline({ manifest: { id, launch, builder_version } }: ExaminedBundle): Finding[] {
  const expected = commandLine(id);
  const found = launch.cmdline;
  if (found === expected) return [];
  const version = builder_version === packageJson.version ? undefined : builder_version;
  const by =
    version === undefined ? 'this builder measures' : `this builder, ${packageJson.version}, measures`;
  return [
    {
      subject: 'measured command line',
      severity: version === undefined ? 'failure' : 'note',
      text: `is not the one that ${by}`,
      file: 'manifest.json',
      expected,
      found,
      details: compareCommandLines(expected, found),
    },
  ];
}

function tableAddress({ manifest: { launch }, files }: ExaminedBundle): Finding[] {
  if (launch.hash_table_address === undefined) return [];
  let address: string;
  try {
    address = `0x${hashTableAddress(firmwareOf(files)).toString(16)}`;
  } catch (error) {
    // The launch digests need the same, and say so.
    if (error instanceof MeasurementError) return [];
    throw error;
  }
  return differs('hash table address', address, launch.hash_table_address, "is not the firmware's");
}

/** Repeats the verdict of the firmware. Where this builder's own table has the file, the table is right. */
function verdict({ manifest: { firmware }, files }: ExaminedBundle): Finding[] {
  const known = judgeFirmware(firmware.sha256, undefined);
  if (known.verdict !== 'unknown' && known.verdict !== firmware.verdict) {
    const text = 'is not what this builder knows of that firmware';
    return differs('firmware verdict', known.verdict, firmware.verdict, text);
  }
  if (firmware.verdict === 'sound' || !isAsListed(files.get('OVMF.amdsev.fd'), firmware)) return [];
  const why = firmware.reason === '' ? '' : `: ${firmware.reason}`;
  const accepted = firmware.accepted ? '; accepted by its SHA-256' : '';
  return [
    { subject: 'firmware verdict', severity: 'note', text: `is "${firmware.verdict}"${why}${accepted}` },
  ];
}

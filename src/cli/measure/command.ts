import { UserError } from '../../host/errors.ts';
import { digestTable, launchWarnings, type MeasuredStep } from '../../measure/index.ts';
import { oneLine } from '../../report/text.ts';
import { type MeasureFlags, modeOf, refuse } from './flags.ts';
import { idSigner } from './id-blocks.ts';
import { jsonOutput, type Measured, textOutput } from './output.ts';
import { measureBundle, measureFiles, type Subject } from './subject.ts';

/**
 * `cvm measure`: digests of a bundle or of loose files. A bundle that is measured as it was built must come to the
 * digests of its manifest.json, else the status is 1.
 */
export async function measureCommand(bundle: string | undefined, flags: MeasureFlags): Promise<void> {
  if (flags.rvps && (flags.json || flags.explain)) refuse('cannot use --rvps with --json or --explain');
  if (flags.explain && !modeOf(flags.mode).startsWith('snp')) {
    refuse(`cannot explain mode ${flags.mode}: it hashes the files in one go and has no pages`);
  }
  const signer = idSigner(flags);
  const subject = await (bundle === undefined ? measureFiles(flags) : measureBundle(bundle, flags));
  const steps: MeasuredStep[] = [];
  const rows = digestTable(subject, flags.explain ? (step) => steps.push(step) : undefined);
  const warnings = [...(signer?.warnings ?? []), ...warningsOf(subject, flags)];
  for (const warning of warnings) process.stderr.write(`warning: ${oneLine(warning)}\n`);

  if (flags.rvps) {
    if (subject.mode !== 'snp')
      refuse(`cannot write reference values in mode ${subject.mode}: a KBS knows snp`);
    process.stdout.write(`${JSON.stringify(await rvps(subject, rows))}\n`);
  } else {
    const verdict = await verdictOf(subject);
    const shown = flags.explain ? steps : undefined;
    const measured: Measured = { subject, rows, verdict, steps: shown, signer, warnings };
    const text = flags.json ? JSON.stringify(jsonOutput(measured)) : textOutput(measured);
    process.stdout.write(`${text}\n`);
  }
  checkPromise(subject, rows, flags);
}

function warningsOf({ commandLine, blobs, features }: Subject, { policy }: MeasureFlags): string[] {
  const line = blobs === undefined || commandLine === undefined ? {} : { commandLine };
  const guestPolicy = policy === undefined ? {} : { policy: BigInt(policy) };
  const each = (features ?? []).flatMap((value) => launchWarnings({ features: value }));
  return [...new Set([...launchWarnings({ ...line, ...guestPolicy }), ...each])];
}

/** Firmware that is not in the table of known firmware has its volume unpacked and looked at. */
async function verdictOf({ firmware }: Subject): Promise<Measured['verdict']> {
  const { judgeFirmware } = await import('../../measure/index.ts');
  const known = judgeFirmware(firmware.sha256, undefined);
  if (known.verdict !== 'unknown') return known;
  const base = await import('../../base/index.ts');
  // A volume that cannot be unpacked leaves it unknown; the digest is right all the same.
  return base.verdictOf(firmware).catch(() => known);
}

async function rvps({ firmware }: Subject, rows: Measured['rows']) {
  const { referenceValues, rvpsMessage } = await import('../../kbs/index.ts');
  const digests = rows.map(({ vcpus, cpu, vmm, features, digest }) => ({
    vcpus: vcpus!,
    cpu: cpu ?? vmm,
    guestFeatures: `0x${features!.toString(16)}`,
    firmwareSha256: firmware.sha256,
    hex: digest.toString('hex'),
  }));
  return rvpsMessage(referenceValues({ digests }));
}

/** @throws UserError naming each count whose digest is not that of manifest.json. */
function checkPromise({ promised }: Subject, rows: Measured['rows'], { json, rvps }: MeasureFlags): void {
  if (promised === undefined) return;
  const wrong = promised.filter(({ vcpus, hex }) =>
    rows.every((row) => row.vcpus !== vcpus || row.digest.toString('hex') !== hex),
  );
  if (wrong.length > 0) {
    throw new UserError('the bundle does not measure to the digests of its manifest.json', {
      details: wrong.map(({ vcpus, hex }) => `manifest.json has ${hex} for ${vcpus} vCPUs`),
      hint: 'cvm verify names the file that changed',
    });
  }
  if (!json && !rvps) process.stdout.write("\nThese are the digests of the bundle's manifest.json.\n");
}

import { join } from 'node:path';
import { localFirmware } from '../base/index.ts';
import { projectRoot } from '../build/builder-file.ts';
import { cacheRoot } from '../build/settings.ts';
import { type Manifest, openBundle, readManifest } from '../bundle/index.ts';
import {
  bundleSources,
  type Diagnosis,
  type DiagnosisOutput,
  diagnose,
  diagnosedFiles,
  diagnosisJson,
  diagnosisLines,
  judgeReport,
  offeredSources,
  type ReportFinding,
  readSubject,
  reportFields,
  type Sources,
} from '../diagnose/index.ts';
import { openCache } from '../graph/cache.ts';
import { exitStatus } from '../host/errors.ts';
import { handleSignals } from '../host/signals.ts';
import { workDirectory } from '../host/temp.ts';
import { MeasurementError, readFirmware } from '../measure/index.ts';
import { manyLines, oneLine } from '../report/text.ts';

export interface DiagnoseFlags {
  ovmf?: string[];
  kernel?: string[];
  initrd?: string[];
  append?: string[];
  json?: boolean;
}

/**
 * `cvm diagnose`: status 0 when the digest is one of the bundle's as built, computed anew, and nothing else speaks against the report,
 * else 1. Bundle and report may come from a hostile host.
 */
export async function diagnoseCommand(bundle: string, subject: string, flags: DiagnoseFlags): Promise<void> {
  using interruption = handleSignals();
  const { signal } = interruption;
  const { digest, report } = await readSubject(subject);
  const offered = await offeredSources({
    firmware: flags.ovmf,
    kernels: flags.kernel,
    initrds: flags.initrd,
    commandLines: flags.append,
  });
  await using work = await workDirectory({ bytes: 2 ** 27 });
  const { folder } = await openBundle(bundle, { workDirectory: work.path, only: diagnosedFiles, signal });
  const manifest = await readManifest(folder);
  const { sources: own, problems } = await bundleSources(folder, manifest, signal);
  const sources: Sources = {
    firmware: [...own.firmware, ...offered.firmware, ...(await machineFirmware())],
    kernels: [...own.kernels, ...offered.kernels],
    initrds: [...own.initrds, ...offered.initrds],
    commandLines: offered.commandLines,
    script: own.script,
    hostCpu: report?.cpu,
  };
  const diagnosis = await diagnose({ manifest, sources, digest, signal });
  const findings = report === undefined ? [] : judgeReport(report, manifest);
  const output = { diagnosis, report, findings, problems };
  const text = flags.json
    ? diagnosisJson(output)
    : manyLines([...reportLines(output), ...findingLines(output, manifest)].join('\n'));
  process.stdout.write(`${text}\n`);
  if (!isAsBuilt(diagnosis, findings)) process.exitCode = exitStatus.failed;
}

/** The word of a manifest alone is not enough: it came with the bundle. */
function isAsBuilt(diagnosis: Diagnosis, findings: readonly ReportFinding[]): boolean {
  const { outcome, recomputed, contradicted } = diagnosis;
  const wrong = findings.some(({ subject, refused }) => refused || subject === 'policy');
  return outcome === 'as-built' && recomputed && contradicted.length === 0 && !wrong;
}

function reportLines({ report, findings }: DiagnosisOutput): string[] {
  if (report === undefined) return [];
  const fields = reportFields(report);
  const width = Math.max(...fields.map(([name]) => name.length));
  const lines = fields.map(([name, value]) => `  ${name.padEnd(width)}  ${value}`);
  const remarks = findings.map(
    ({ refused, text, remedy }) => `  - ${refused ? 'a key broker refuses it: ' : ''}${text}: ${remedy}`,
  );
  return [
    'Attestation report (its signature is not verified here; a key broker does that):',
    ...lines,
    '',
    ...(remarks.length === 0 ? [] : ['About the report:', ...remarks, '']),
  ];
}

function findingLines({ diagnosis, problems }: DiagnosisOutput, manifest: Manifest) {
  const [first, ...rest] = diagnosisLines(diagnosis, manifest);
  return [`The launch digest ${diagnosis.digest}`, `${first}`, ...rest, ...problems.map(oneLine)];
}

/** Firmware that this machine has anyway; none that cannot be read stands in the way. */
async function machineFirmware(): Promise<Sources['firmware'][number][]> {
  const cache = openCache(await cacheRoot());
  const found = await localFirmware({ cache, baseImages: join(projectRoot, 'base_images') });
  if (found === undefined) return [];
  try {
    const image = await readFirmware(found.file, { target: 'any' });
    return [{ image, origin: { kind: 'machine', name: found.origin } }];
  } catch (error) {
    if (error instanceof MeasurementError) return [];
    throw error;
  }
}

import { resolve } from 'node:path';
import { type Manifest, readManifest } from '../manifest.ts';
import { digestsCheck } from './digests.ts';
import { examineFiles, filesCheck } from './files.ts';
import type { Check, ExaminedBundle, Finding } from './finding.ts';
import { manifestCheck } from './manifest-fields.ts';
import { type AdminRecord, recordCheck } from './record.ts';
import { scriptCheck } from './script.ts';

export interface VerifyOptions {
  /** The administrator's record of the image; without it the manifest is taken at its word, and a note says so. */
  record?: AdminRecord | undefined;
  /** Further checks, after the bundle's own: of what other folders know, such as the drives or the LUKS header. */
  checks?: readonly Check[];
  signal?: AbortSignal | undefined;
}

export interface CheckedBundle {
  manifest: Manifest;
  /** In the order they were made. */
  checks: { name: string; findings: Finding[] }[];
  /** True where no finding is a failure. */
  whole: boolean;
}

/**
 * Holds a bundle folder against its manifest, its launch digests, its launch script and the administrator's record. Each
 * file is read once; nothing of the bundle is run.
 * @throws UserError where the manifest cannot be read or a file cannot; what is wrong with the bundle is a finding.
 */
export async function verifyBundle(folder: string, options: VerifyOptions = {}): Promise<CheckedBundle> {
  const { record, checks: further = [], signal } = options;
  const manifest = await readManifest(folder);
  const files = await examineFiles(folder, signal);
  const bundle: ExaminedBundle = { folder: resolve(folder), manifest, files, signal };
  const checks: CheckedBundle['checks'] = [];
  const all = [filesCheck, digestsCheck, scriptCheck(record), manifestCheck, recordCheck(record), ...further];
  for (const check of all) {
    signal?.throwIfAborted();
    checks.push({ name: check.name, findings: await check.run(bundle) });
  }
  const whole = checks.every(({ findings }) => findings.every(({ severity }) => severity !== 'failure'));
  return { manifest, checks, whole };
}

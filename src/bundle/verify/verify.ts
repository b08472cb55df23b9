import { UserError } from '../../host/errors.ts';
import { largestManifest, type Manifest, parseManifest } from '../manifest.ts';
import { manifestName } from '../names.ts';
import { folderSource } from '../source/folder.ts';
import type { BundleSource } from '../source/source.ts';
import { digestsCheck } from './digests.ts';
import { examineFiles, filesCheck, type Watch } from './files.ts';
import type { Check, ExaminedBundle, Finding } from './finding.ts';
import { manifestCheck } from './manifest-fields.ts';
import { type AdminRecord, recordCheck } from './record.ts';
import { scriptCheck } from './script.ts';

export interface VerifyOptions {
  /** The administrator's record of the image; without it the manifest is taken at its word, and a note says so. */
  record?: AdminRecord | undefined;
  /** Further checks, after the bundle's own: of what other folders know, such as the drives or the LUKS header. */
  checks?: readonly Check[];
  /** Told every byte of every file while it is hashed, before the checks are made. */
  watch?: Watch | undefined;
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
 * Holds a bundle against its manifest, its launch digests, its launch script and the administrator's record. Each
 * file is read once; nothing of the bundle is run.
 * @throws UserError where the manifest cannot be read or a file cannot; what is wrong with the bundle is a finding.
 */
export async function verifyBundle(
  bundle: string | BundleSource,
  options: VerifyOptions = {},
): Promise<CheckedBundle> {
  if (typeof bundle !== 'string') return verifySource(bundle, options);
  await using source = folderSource(bundle);
  return await verifySource(source, options);
}

/** The manifest of a bundle. @throws UserError where there is none, or it is damaged */
export async function manifestOf(source: BundleSource): Promise<Manifest> {
  const name = `${manifestName} of ${source.path}`;
  const file = await source.file(manifestName);
  if (typeof file === 'string' || file.size > largestManifest) {
    const cause = file === 'missing' ? 'there is no such file' : 'it is not a small regular file';
    throw new UserError(`cannot read ${name}: ${cause}`, { hint: 'name a folder cvm_<id> of a bundle' });
  }
  return parseManifest(name, (await file.read(0, file.size)).toString('utf8'));
}

async function verifySource(source: BundleSource, options: VerifyOptions): Promise<CheckedBundle> {
  const { record, checks: further = [], watch, signal } = options;
  const manifest = await manifestOf(source);
  const files = await examineFiles(source, { signal, watch });
  const bundle: ExaminedBundle = { source, manifest, files, signal };
  const checks: CheckedBundle['checks'] = [];
  const all = [filesCheck, digestsCheck, scriptCheck(record), manifestCheck, recordCheck(record), ...further];
  for (const check of all) {
    signal?.throwIfAborted();
    checks.push({ name: check.name, findings: await check.run(bundle) });
  }
  const whole = checks.every(({ findings }) => findings.every(({ severity }) => severity !== 'failure'));
  return { manifest, checks, whole };
}

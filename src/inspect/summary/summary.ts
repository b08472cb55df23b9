import { knownBases } from '../../base/index.ts';
import { type BundleSource, type Manifest, manifestOf } from '../../bundle/index.ts';
import type { Cache } from '../../graph/cache.ts';
import type { Secret } from '../../host/secret.ts';
import { workDirectory } from '../../host/temp.ts';
import type { ImageRecord } from '../../kbs/index.ts';
import type { SealedSegment } from '../initrd/sealed.ts';
import { found, type Inside, lookInside } from '../inside.ts';
import { openPayload } from '../opened.ts';
import { layerPackages, type PackageReport } from '../packages/layers.ts';
import { plainFiles } from '../user-config/plain.ts';
import { sealedFiles } from '../user-config/sealed.ts';
import { likelyBase, type RecordedBase, recordedBase } from './base.ts';
import { type DriveSummary, driveSummaries } from './drives.ts';
import { portsOf, type SealedPorts } from './ports.ts';
import { type WorkloadSummary, workloadOf } from './workload.ts';

/** Packages of a part of the bundle, and how they are known. */
export interface PackageSummary extends PackageReport {
  /**
   * `sealed`: read from the sealed drive; `record`: those of the base that the build record names; `cache`: those of a base in the
   * cache that fits; `unknown`: there is no telling.
   */
  from: 'sealed' | 'record' | 'cache' | 'unknown';
}

/** What a bundle holds. Undefined is what cannot be known from it. */
export interface BundleSummary {
  manifest: Manifest;
  /** What the administrator's side adds: role, project, status. */
  record: Pick<ImageRecord, 'role' | 'project' | 'status'> | undefined;
  drives: DriveSummary[];
  /** Why the initrd cannot be read, where it cannot. */
  problem: string | undefined;
  segments: SealedSegment[];
  /** Room for the vault, bytes. */
  vaultBytes: number | undefined;
  ports: SealedPorts | undefined;
  vaultIntegrity: boolean | undefined;
  userDataWritable: boolean | undefined;
  /** Files of user_config, `<name>/<path>`: what whoever runs the host can read, and what only the key shows. */
  userConfig: { plain: string[] | undefined; sealed: string[] | undefined };
  /** SHA-256 of the base's squashfs, and where it came from, as far as known. */
  base: { id: string; origin?: string } | undefined;
  workload: WorkloadSummary | undefined;
  basePackages: PackageSummary;
  imagePackages: PackageSummary;
}

export interface SummaryOptions {
  /** The disk key; without it nothing of the sealed drive is read. */
  key?: Secret | undefined;
  record?: BundleSummary['record'];
  /** The base that the build record of this bundle names, where it is at hand. */
  builtOn?: RecordedBase | undefined;
  /** Where bases are looked for. */
  cache: Cache;
  signal?: AbortSignal | undefined;
}

const unknown: PackageSummary = { from: 'unknown', packages: [], distribution: undefined, unread: [] };

/**
 * Gathers what a bundle holds, in user space and without unpacking it.
 * @throws UserError where it is no bundle, or where a key was given that does not open it
 */
export async function summarise(source: BundleSource, options: SummaryOptions): Promise<BundleSummary> {
  const { key, record, builtOn, cache, signal } = options;
  const manifest = await manifestOf(source);
  const inside = await lookInside(source, { key, signal });
  const sealed = 'value' in inside.sealed ? inside.sealed.value : undefined;
  const summary: BundleSummary = {
    manifest,
    record,
    drives: await driveSummaries(source),
    problem: 'problem' in inside.sealed ? inside.sealed.problem : undefined,
    segments: sealed?.segments ?? [],
    vaultBytes: vaultBytes(inside),
    ports: sealed && portsOf(sealed.firewall),
    vaultIntegrity: sealed && sealed.settings.vault_integrity === 'yes',
    userDataWritable: sealed && sealed.settings.user_data_writable === 'yes',
    userConfig: { plain: await plainPart(source, signal), sealed: undefined },
    base: undefined,
    workload: undefined,
    basePackages: unknown,
    imagePackages: unknown,
  };
  if (key !== undefined) {
    const { sealedFiles, ...parts } = await sealedParts(source, inside, cache, signal);
    return { ...summary, ...parts, userConfig: { ...summary.userConfig, sealed: sealedFiles } };
  }
  const base = builtOn
    ? await recordedBase(builtOn, cache)
    : await likelyBase(manifest, summary.segments[0], cache);
  if (base === undefined) return summary;
  const { id, origin, packages } = base;
  if (packages === undefined) return { ...summary, base: { id, origin } };
  const from = builtOn ? 'record' : 'cache';
  return { ...summary, base: { id, origin }, basePackages: { ...unknown, from, packages } };
}

/** Undefined for a drive that cannot be read: what is wrong with it stands beside its size. */
async function plainPart(source: BundleSource, signal?: AbortSignal): Promise<string[] | undefined> {
  const read = await found(() => plainFiles(source, signal));
  return 'value' in read ? read.value : undefined;
}

function vaultBytes({ sealed, rootDrive }: Inside): number | undefined {
  if ('problem' in sealed || 'problem' in rootDrive) return undefined;
  const start = sealed.value.luksHeader.length + sealed.value.vaultMark + 4096;
  return Math.max(0, rootDrive.value.size - start);
}

/** What only the key shows. Plaintext lies in a private folder meanwhile. */
async function sealedParts(
  source: BundleSource,
  inside: Inside,
  cache: Cache,
  signal: AbortSignal | undefined,
): Promise<
  Pick<BundleSummary, 'base' | 'workload' | 'basePackages' | 'imagePackages'> & {
    sealedFiles: string[] | undefined;
  }
> {
  const payload = await openPayload(source.path, inside, signal);
  const bytes = payload.segments.reduce((sum, segment) => sum + segment.bytes, 0);
  await using work = await workDirectory({ bytes });
  const files = new Map<string, { file: string; sha256: string }>();
  for (const segment of payload.segments) files.set(segment.name, await payload.extract(segment, work.path));
  const [base, site] = [files.get('base'), files.get('site')];
  const layers = [...files].filter(([name]) => name.startsWith('layer')).map(([, { file }]) => file);
  const origin = base && (await originOf(base.sha256, cache));
  return {
    base: base && { id: base.sha256, ...(origin === undefined ? {} : { origin }) },
    workload: site && (await workloadOf(site.file, signal)),
    sealedFiles: site && (await sealedFiles(site.file, signal)),
    basePackages: base ? { ...(await layerPackages([base.file], signal)), from: 'sealed' } : unknown,
    imagePackages: { ...(await layerPackages(layers, signal)), from: 'sealed' },
  };
}

async function originOf(id: string, cache: Cache): Promise<string | undefined> {
  return (await knownBases(cache, id))[0]?.origin;
}

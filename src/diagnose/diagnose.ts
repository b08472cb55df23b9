import { setImmediate } from 'node:timers/promises';
import type { Manifest } from '../bundle/index.ts';
import type { Candidates, Difference } from './assumptions.ts';
import { candidatesOf, type Sources } from './candidates.ts';
import { combinations } from './combinations.ts';
import { Measurer } from './measurer.ts';
import { type Match, search, type Tried } from './search.ts';

export interface DiagnoseInput {
  manifest: Manifest;
  /** What is known beside the manifest. */
  sources: Sources;
  /** The launch digest to explain, 48 bytes. */
  digest: Buffer;
  /** See `SearchOptions`. */
  mostPages?: number | undefined;
  signal?: AbortSignal | undefined;
}

/** Where a launch digest comes from. */
export interface Diagnosis {
  /** Lower-case hex. */
  digest: string;
  /**
   * - `as-built`: one of the bundle's own digests.
   * - `differs`: the digest of this bundle, but for the differences named.
   * - `no-match`: none of what was tried.
   */
  outcome: 'as-built' | 'differs' | 'no-match';
  /** vCPUs that the digest is for, unless there is no match. */
  vcpus: number | undefined;
  /** Empty unless the outcome is `differs`. */
  differences: Difference[];
  /** False where no file of the measured firmware is at hand, so that the manifest's digests cannot be computed anew. */
  recomputed: boolean;
  /** vCPU counts whose digest in the manifest does not follow from its own values: none unless it was edited. */
  contradicted: number[];
  tried: Tried;
}

/** No common host starts a VM with more. */
const usualMostVcpus = 512;

/**
 * Explains a launch digest: finds the smallest set of the bundle's assumptions that do not hold for it.
 * @throws MeasurementError for a manifest that names an unknown CPU model.
 */
export async function diagnose(input: DiagnoseInput): Promise<Diagnosis> {
  const { manifest, digest, mostPages, signal } = input;
  const { vcpus: measured, digests } = manifest.launch;
  await turn(signal);
  const candidates = candidatesOf(manifest, input.sources);
  await turn(signal);
  const recomputed = candidates.firmware[0]!.value.image !== undefined;
  const mostVcpus = Math.max(usualMostVcpus, ...measured);
  const hex = digest.toString('hex');
  // The manifest's word is all there is where its firmware is missing.
  const listed = recomputed ? undefined : digests.find((each) => each.hex === hex);
  const options = { mostVcpus, mostPages: listed === undefined ? mostPages : 0, signal };
  const { match, tried } = await search(digest, candidates, options);
  await turn(signal);
  const found = {
    digest: hex,
    recomputed,
    contradicted: recomputed ? contradictedCounts(manifest, candidates) : [],
    tried,
  };
  if (match !== undefined) {
    const differences = differencesOf(match, candidates, measured);
    return {
      ...found,
      outcome: differences.length === 0 ? 'as-built' : 'differs',
      vcpus: match.vcpus,
      differences,
    };
  }
  const outcome = listed === undefined ? 'no-match' : 'as-built';
  return { ...found, outcome, vcpus: listed?.vcpus, differences: [] };
}

/** Lets a signal of the process arrive, which the event loop delivers, and ends the work if one did. */
async function turn(signal: AbortSignal | undefined): Promise<void> {
  await setImmediate();
  signal?.throwIfAborted();
}

function contradictedCounts({ launch }: Manifest, candidates: Candidates): number[] {
  const [expected] = combinations(candidates);
  const own = [...new Measurer().digests(expected!.assumptions, Math.max(...launch.vcpus))];
  return launch.digests
    .filter(({ vcpus, hex }) => own[vcpus - 1]?.toString('hex') !== hex)
    .map(({ vcpus }) => vcpus);
}

function differencesOf(
  { assumptions, changed, vcpus }: Match,
  candidates: Candidates,
  measured: readonly number[],
): Difference[] {
  const differences = changed.map((dimension) => {
    const expected = candidates[dimension][0]!.value;
    return { dimension, expected, found: assumptions[dimension] } as Difference;
  });
  if (!measured.includes(vcpus)) differences.push({ dimension: 'vcpus', expected: measured, found: vcpus });
  return differences;
}

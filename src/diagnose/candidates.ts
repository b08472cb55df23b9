import type { Manifest } from '../bundle/index.ts';
import {
  type CpuIdentity,
  cpuModels,
  cpuSignature,
  type Firmware,
  MeasurementError,
  noInitrdHash,
  parseCpu,
} from '../measure/index.ts';
import type { Assumptions, Candidate, Candidates, Origin } from './assumptions.ts';
import { commandLineCandidates } from './command-lines.ts';

/** A file that may have been the kernel or the initrd: its SHA-256 in lower-case hex, and where it lies. */
export interface BlobFile {
  sha256: string;
  origin: Origin;
}

/** What is known beside the manifest. */
export interface Sources {
  /** Firmware at hand, the bundle's own among it where its file can be read. */
  firmware: readonly { image: Firmware; origin: Origin }[];
  kernels: readonly BlobFile[];
  initrds: readonly BlobFile[];
  /** Command lines that the user offers. */
  commandLines: readonly string[];
  /** Values that launch_vm.sh has now. */
  script?: { cmdline?: string | undefined; cpu?: string | undefined } | undefined;
  /** The physical CPU, of an attestation report. */
  hostCpu?: CpuIdentity | undefined;
}

/**
 * All values to try, with what the manifest promises first.
 * @throws MeasurementError for a CPU model in the manifest that is unknown here.
 */
export function candidatesOf({ launch, files, firmware }: Manifest, sources: Sources): Candidates {
  const expected: Origin = { kind: 'manifest' };
  return {
    firmware: firmwareCandidates(firmware.sha256, sources.firmware),
    vmm: [{ value: 'qemu' }, { value: 'ec2', rarity: 2 }, { value: 'gce', rarity: 2 }],
    fpuState: [{ value: 'synced' }, { value: 'zero' }, { value: 'zero-on-aps' }],
    cpu: cpuCandidates(launch.cpu, sources),
    guestFeatures: featureCandidates(BigInt(launch.guest_features)),
    kernelHashes: [{ value: 'on' }, { value: 'off' }],
    kernel: blobCandidates([{ sha256: files.vmlinuz.sha256, origin: expected }, ...sources.kernels]),
    initrd: blobCandidates([
      { sha256: files['initrd.img'].sha256, origin: expected },
      { sha256: noInitrdHash.toString('hex'), origin: { kind: 'none' } },
      ...sources.initrds,
    ]),
    commandLine: commandLineCandidates({
      measured: launch.cmdline,
      script: sources.script?.cmdline,
      offered: sources.commandLines,
      vcpus: launch.vcpus,
    }),
  };
}

/** The measured firmware first, even where no file of it is at hand. */
function firmwareCandidates(
  sha256: string,
  found: Sources['firmware'],
): Candidate<Assumptions['firmware']>[] {
  const own = found.find(({ image }) => image.sha256 === sha256)?.image;
  const others = found.map(({ image, origin }) => ({ sha256: image.sha256, image, origin }));
  return blobCandidates([{ sha256, image: own, origin: { kind: 'manifest' } }, ...others]);
}

function blobCandidates<Blob extends { sha256: string }>(blobs: readonly Blob[]): Candidate<Blob>[] {
  const seen = new Set<string>();
  return blobs.filter(({ sha256 }) => !seen.has(sha256) && seen.add(sha256)).map((value) => ({ value }));
}

/** Each signature once, with all of its names, the expected one in front. */
function cpuCandidates(cpu: string, { script, hostCpu }: Sources): Candidate<Assumptions['cpu']>[] {
  const names = new Map<number, Set<string>>();
  const add = (signature: number, name: string) => {
    names.set(signature, (names.get(signature) ?? new Set()).add(name));
  };
  add(parseCpu(cpu), cpu);
  const edited = script?.cpu === undefined ? undefined : signatureOf(script.cpu);
  if (edited !== undefined) add(edited, script!.cpu!);
  if (hostCpu !== undefined) {
    const signature = identitySignature(hostCpu);
    if (signature !== undefined) add(signature, 'host');
  }
  for (const [name, identity] of cpuModels) add(cpuSignature(identity), name);
  return [...names].map(([signature, all]) => ({ value: { signature, names: [...all] } }));
}

/** Undefined for what QEMU would not take for a model either. */
function signatureOf(cpu: string): number | undefined {
  return orUndefined(() => parseCpu(cpu));
}

/** Undefined for what no CPUID register can hold: a report may say anything. */
function identitySignature(identity: CpuIdentity): number | undefined {
  return orUndefined(() => cpuSignature(identity));
}

function orUndefined<Value>(compute: () => Value): Value | undefined {
  try {
    return compute();
  } catch (error) {
    if (error instanceof MeasurementError) return undefined;
    throw error;
  }
}

/** SNPActive with and without DebugSwap and SecureTSC: what hosts are known to start with. */
const usualFeatures = [0x1n, 0x21n, 0x201n, 0x221n];

/** The usual values, then every other single bit switched over, and nothing at all. */
function featureCandidates(expected: bigint): Candidate<bigint>[] {
  const usual = [...new Set([expected, ...usualFeatures])];
  const flipped = Array.from({ length: 64 }, (_, bit) => expected ^ (1n << BigInt(bit)));
  const rare = new Set([0n, ...flipped].filter((value) => !usual.includes(value)));
  return [...usual.map((value) => ({ value })), ...[...rare].map((value) => ({ value, rarity: 2 as const }))];
}

import { parseCpu } from './cpu.ts';
import { MeasurementError } from './error.ts';
import type { Firmware } from './firmware.ts';
import type { BlobHashes } from './kernel-hashes.ts';
import { defaultSevFeatures, firmwareDigest, launchDigests, type Trace } from './launch-digest.ts';
import { sevDigest, sevEsDigest } from './sev-digest.ts';
import type { Vmm } from './vmsa.ts';

/**
 * What is computed: the launch digest of SEV-SNP, its part that covers the firmware's own pages alone, or the
 * digests of the older SEV-ES and SEV.
 */
export const measurementModes = ['snp', 'snp:ovmf-hash', 'seves', 'sev'] as const;

export type MeasurementMode = (typeof measurementModes)[number];

/** The shapes of machine to measure: every combination of the lists. */
export interface DigestTableInput {
  mode: MeasurementMode;
  firmware: Firmware;
  /** Hashes of kernel, initrd and command line; undefined is kernel-hashes=off. */
  blobs?: BlobHashes | undefined;
  /** See `Launch.firmwareDigest`; `snp` only. */
  firmwareDigest?: Buffer | undefined;
  /** QEMU unless told otherwise; the others measure `snp` only. */
  vmm?: Vmm | undefined;
  /** Counts of vCPUs; `snp` and `seves` need at least one. */
  vcpus?: readonly number[];
  /** As `parseCpu` takes them; QEMU's `snp` and `seves` need at least one. */
  cpus?: readonly string[];
  /** SEV_FEATURES; {@link defaultSevFeatures} unless told otherwise. SEV-ES knows none. */
  features?: readonly bigint[] | undefined;
}

/** One digest and what it was computed for; what its mode does not measure is undefined. */
export interface DigestRow {
  mode: MeasurementMode;
  vmm: Vmm;
  vcpus: number | undefined;
  cpu: string | undefined;
  features: bigint | undefined;
  /** 48 bytes for `snp` and `snp:ovmf-hash`, 32 for `seves` and `sev`. */
  digest: Buffer;
}

/**
 * The digests of every combination of features, CPU models and vCPU counts, in this order, counts innermost. SEV-SNP
 * measures all of them in one pass.
 * @param trace for `snp` and `snp:ovmf-hash`: sees every step once
 * @throws MeasurementError as `launchDigests`, and where a list that the mode needs is empty.
 */
export function digestTable(input: DigestTableInput, trace?: Trace): DigestRow[] {
  const { mode, firmware, blobs, vmm = 'qemu', vcpus = [], cpus = [] } = input;
  if (vmm !== 'qemu' && mode !== 'snp') {
    throw new MeasurementError(`cannot measure ${mode} for ${vmm}: only snp is known for it`);
  }
  const plain = { mode, vmm, vcpus: undefined, cpu: undefined, features: undefined };
  if (mode === 'snp:ovmf-hash') return [{ ...plain, digest: firmwareDigest(firmware, trace) }];
  if (mode === 'sev') return [{ ...plain, digest: sevDigest(firmware, blobs) }];

  // Only QEMU puts the model into the page.
  const models = vmm === 'qemu' ? cpus : [undefined];
  if (vcpus.length === 0 || models.length === 0) {
    const what = vcpus.length === 0 ? 'number of vCPUs' : 'CPU model';
    throw new MeasurementError(`cannot measure ${mode}: no ${what} is given`);
  }
  if (mode === 'seves') {
    return models.flatMap((cpu) =>
      vcpus.map((count) => {
        const digest = sevEsDigest(firmware, count, parseCpu(cpu!), blobs);
        return { ...plain, vcpus: count, cpu, digest };
      }),
    );
  }
  const rows = (input.features ?? [defaultSevFeatures]).flatMap((features) =>
    models.flatMap((cpu) => {
      const signature = cpu === undefined ? undefined : parseCpu(cpu);
      return vcpus.map((count) => ({ ...plain, vcpus: count, cpu, features, signature }));
    }),
  );
  const launch = { firmware, vmm, blobs, firmwareDigest: input.firmwareDigest };
  const digests = launchDigests(launch, rows, trace);
  return rows.map(({ signature: _, ...row }, index) => ({ ...row, digest: digests[index]! }));
}

import { MeasurementError } from './error.ts';
import type { Firmware } from './firmware.ts';
import { type BlobHashes, kernelHashPage } from './kernel-hashes.ts';
import { digestSize, hashPage, PageChain, type PageType, pageSize } from './page.ts';
import type { MetadataSection, SectionType } from './sev-metadata.ts';
import { apVmsa, bspVmsa, type FpuState, type Vmm, type VmsaInput, vmsaGpa } from './vmsa.ts';

/** What all variants of a launch share. */
export interface Launch {
  firmware: Firmware;
  /** QEMU unless told otherwise. */
  vmm?: Vmm;
  /** QEMU only: what the host leaves of the FPU state in the save areas; `synced` unless told otherwise. */
  fpuState?: FpuState | undefined;
  /** Hashes of kernel, initrd and command line; undefined is kernel-hashes=off. */
  blobs?: BlobHashes | undefined;
  /**
   * A {@link firmwareDigest} to start from in place of the firmware's bytes. Sections, hash table address
   * and reset address still come from `firmware`, so both must be of one build.
   */
  firmwareDigest?: Buffer | undefined;
}

/** One shape of virtual machine; each has a launch digest of its own. */
export interface LaunchVariant {
  /** Number of vCPUs at boot, at least 1. */
  vcpus: number;
  /** CPUID Fn0000_0001_EAX, see `parseCpu`. Needed for QEMU; EC2 and GCE do not measure it. */
  signature?: number | undefined;
  /** SEV_FEATURES, 64 bits; {@link defaultSevFeatures} unless told otherwise. */
  features?: bigint | undefined;
}

/** One step of a measurement: a run of pages and the digest after its last. */
export interface MeasuredStep {
  stage: 'firmware' | 'section' | 'vmsa';
  /** `firmware`, the section's type, or `vCPU <n>`. */
  name: string;
  /** Guest physical address of the first page. */
  gpa: number;
  /** Bytes. */
  size: number;
  type: PageType;
  /** Launch digest after the step, 48 bytes. */
  digest: Buffer;
  /** Which VM shape a `vmsa` step belongs to; `vcpus` is not set, because counts share their steps. */
  variant?: { signature: number | undefined; features: bigint };
}

export type Trace = (step: MeasuredStep) => void;

/** SEV_FEATURES of upstream Linux 6.11 and later with QEMU 9.1 to 11.1: SNPActive alone. */
export const defaultSevFeatures = 0x1n;

/** No KVM build takes more. */
const maxVcpus = 4096;

/** The page type under which each section is measured. */
const sectionPages: Record<SectionType, PageType> = {
  SNP_SEC_MEM: 'zero',
  SNP_SECRETS: 'secrets',
  CPUID: 'cpuid',
  SNP_SVSM_CAA: 'zero',
  // Without kernel hashes; with them it is one `normal` page.
  SNP_KERNEL_HASHES: 'zero',
};

/** The digest after the firmware's own pages: the seed for {@link Launch.firmwareDigest}. 48 bytes. */
export function firmwareDigest(firmware: Firmware, trace?: Trace): Buffer {
  const chain = new PageChain();
  chain.addBytes(firmware.baseAddress, firmware.bytes);
  trace?.({
    stage: 'firmware',
    name: 'firmware',
    gpa: firmware.baseAddress,
    size: firmware.size,
    type: 'normal',
    digest: chain.digest(),
  });
  return chain.digest();
}

/**
 * SEV-SNP launch digests: the MEASUREMENT field of an attestation report, one for each variant and in
 * their order, 48 bytes as the report holds them. What the variants share is measured once, and counts of
 * vCPUs lie on one chain, so 1 to 512 cost little more than 512.
 * @param trace sees every step once, in order of measurement, for tools that explain a digest
 * @throws MeasurementError where the firmware lacks what the launch needs, or a variant is out of range.
 */
export function launchDigests(launch: Launch, variants: readonly LaunchVariant[], trace?: Trace): Buffer[] {
  const { firmware, vmm = 'qemu' } = launch;
  for (const variant of variants) checkVariant(variant, vmm, firmware);
  const shared = sharedDigest(launch, trace);
  const digests = new Array<Buffer>(variants.length);
  for (const { input, shape, members } of groupVariants(variants, launch)) {
    let vcpus = 0;
    for (const digest of saveAreaDigests(shared, firmware, input, Math.max(...members.keys()))) {
      trace?.({
        stage: 'vmsa',
        name: `vCPU ${vcpus}`,
        gpa: vmsaGpa,
        size: pageSize,
        type: 'vmsa',
        digest: Buffer.from(digest),
        variant: shape,
      });
      vcpus++;
      for (const position of members.get(vcpus) ?? []) digests[position] = Buffer.from(digest);
    }
  }
  return digests;
}

/**
 * The digest before the first save area, 48 bytes: all that the variants of a launch share.
 * @throws MeasurementError where the firmware lacks what the launch needs.
 */
export function sharedDigest(launch: Launch, trace?: Trace): Buffer {
  const { firmware, vmm = 'qemu', firmwareDigest: seed } = launch;
  const hashPageDigest = hashPageContents(launch);
  if (seed !== undefined && seed.length !== digestSize) {
    throw new MeasurementError(
      `cannot use firmware digest: it has ${seed.length} bytes, expected ${digestSize}`,
    );
  }
  const chain = new PageChain(seed ?? firmwareDigest(firmware, trace));
  for (const section of measurementOrder(firmware.sections, vmm)) {
    const type = addSection(chain, section, vmm, hashPageDigest);
    const { gpa, size } = section;
    trace?.({ stage: 'section', name: section.type, gpa, size, type, digest: chain.digest() });
  }
  return chain.digest();
}

/**
 * The launch digests of one shape of virtual machine with 1, 2, … vCPUs up to `most`, one after another from a
 * {@link sharedDigest}, for a search that stops where it likes.
 * @throws MeasurementError where the firmware cannot start `most` vCPUs.
 */
export function* vcpuDigests(
  shared: Buffer,
  launch: Pick<Launch, 'firmware' | 'vmm' | 'fpuState'>,
  shape: Omit<LaunchVariant, 'vcpus'>,
  most: number,
): Generator<Buffer> {
  checkVariant({ ...shape, vcpus: most }, launch.vmm ?? 'qemu', launch.firmware);
  yield* saveAreaDigests(shared, launch.firmware, vmsaInput(launch, shape), most);
}

/** {@link launchDigests} for one variant. */
export function launchDigest(launch: Launch, variant: LaunchVariant, trace?: Trace): Buffer {
  return launchDigests(launch, [variant], trace)[0]!;
}

function checkVariant({ vcpus, signature, features }: LaunchVariant, vmm: Vmm, firmware: Firmware): void {
  checkVcpus(vcpus, firmware);
  if (vmm === 'qemu') checkSignature(signature);
  if (features !== undefined && (features < 0n || features >= 2n ** 64n)) {
    throw new MeasurementError(`cannot measure SEV_FEATURES ${features}: expected an unsigned 64-bit number`);
  }
}

/** Refuses counts of vCPUs that are no count, or that the firmware's reset block cannot start. */
export function checkVcpus(vcpus: number, { resetAddress }: Pick<Firmware, 'resetAddress'>): void {
  if (!Number.isInteger(vcpus) || vcpus < 1 || vcpus > maxVcpus) {
    throw new MeasurementError(
      `cannot measure ${vcpus} vCPUs: expected a whole number from 1 to ${maxVcpus}`,
    );
  }
  if (resetAddress === undefined) {
    throw new MeasurementError('cannot measure vCPUs: the firmware has no SEV-ES reset block, expected one');
  }
  if (resetAddress === 0 && vcpus > 1) {
    throw new MeasurementError(
      `cannot measure ${vcpus} vCPUs: the firmware's SEV-ES reset address is 0, expected the address where the second starts`,
    );
  }
}

/** Refuses signatures that RDX could not hold, and a missing one. */
export function checkSignature(signature: number | undefined): asserts signature is number {
  if (signature === undefined || !Number.isInteger(signature) || signature < 0 || signature >= 2 ** 32) {
    throw new MeasurementError(
      `cannot measure vCPU signature ${signature}: expected an unsigned 32-bit number (CPUID Fn0000_0001_EAX)`,
    );
  }
}

function hashPageContents({ firmware, blobs }: Launch): Buffer | undefined {
  if (blobs === undefined) return undefined;
  if (!firmware.sections.some(({ type }) => type === 'SNP_KERNEL_HASHES')) {
    throw new MeasurementError(
      'cannot measure kernel: the firmware has no SNP_KERNEL_HASHES section, expected an AmdSev build of edk2-stable202402 or later',
    );
  }
  return hashPage(kernelHashPage(firmware, blobs));
}

/** File order, but EC2 puts every CPUID section after all others. */
function measurementOrder(sections: readonly MetadataSection[], vmm: Vmm): readonly MetadataSection[] {
  if (vmm !== 'ec2') return sections;
  return [
    ...sections.filter(({ type }) => type !== 'CPUID'),
    ...sections.filter(({ type }) => type === 'CPUID'),
  ];
}

function addSection(
  chain: PageChain,
  { gpa, size, type }: MetadataSection,
  vmm: Vmm,
  hashPageDigest: Buffer | undefined,
): PageType {
  if (type === 'SNP_KERNEL_HASHES' && hashPageDigest !== undefined) {
    chain.add('normal', gpa, hashPageDigest);
    return 'normal';
  }
  const pageType = vmm === 'gce' && type === 'SNP_SEC_MEM' ? 'unmeasured' : sectionPages[type];
  chain.addRange(pageType, gpa, size);
  return pageType;
}

function vmsaInput(
  { vmm = 'qemu', fpuState }: Pick<Launch, 'vmm' | 'fpuState'>,
  { signature, features = defaultSevFeatures }: Omit<LaunchVariant, 'vcpus'>,
): VmsaInput {
  return { vmm, signature: signature ?? 0, features, fpuState };
}

interface VariantGroup {
  input: VmsaInput;
  shape: { signature: number | undefined; features: bigint };
  /** Positions in the caller's list, by number of vCPUs. */
  members: Map<number, number[]>;
}

/** Variants that differ in their number of vCPUs alone share one chain of save areas. */
function groupVariants(variants: readonly LaunchVariant[], launch: Launch): VariantGroup[] {
  const groups = new Map<string, VariantGroup>();
  for (const [position, { vcpus, signature, features = defaultSevFeatures }] of variants.entries()) {
    const measured = (launch.vmm ?? 'qemu') === 'qemu' ? signature : undefined;
    const key = `${measured} ${features}`;
    const group = groups.get(key) ?? {
      input: vmsaInput(launch, { signature: measured, features }),
      shape: { signature: measured, features },
      members: new Map<number, number[]>(),
    };
    groups.set(key, group);
    group.members.set(vcpus, [...(group.members.get(vcpus) ?? []), position]);
  }
  return [...groups.values()];
}

function* saveAreaDigests(
  seed: Buffer,
  firmware: Firmware,
  input: VmsaInput,
  most: number,
): Generator<Buffer> {
  const chain = new PageChain(seed);
  const bsp = hashPage(bspVmsa(input));
  // checkVcpus has seen to the reset address; a lone vCPU never gets here with it.
  const ap = most > 1 ? hashPage(apVmsa(input, firmware.resetAddress!)) : bsp;
  for (let index = 0; index < most; index++) {
    chain.add('vmsa', vmsaGpa, index === 0 ? bsp : ap);
    yield chain.digest();
  }
}

/**
 * Launch digests of confidential virtual machines, computed from the files they start with. A library of
 * its own: it imports nothing of the builder and throws {@link MeasurementError} alone.
 */
export { type BlobFiles, hashBlobs, hashInitrdFile, hashKernelFile } from './blob-hash.ts';
export { type CpuIdentity, cpuModels, cpuSignature, parseCpu } from './cpu.ts';
export {
  type DigestRow,
  type DigestTableInput,
  digestTable,
  type MeasurementMode,
  measurementModes,
} from './digest-table.ts';
export { MeasurementError } from './error.ts';
export { type Firmware, type FirmwareOptions, parseFirmware, readFirmware } from './firmware.ts';
export {
  type FirmwareVerdict,
  judgeFirmware,
  knownFirmware,
  lzmaStreams,
  type Verdict,
} from './firmware-verdict.ts';
export type { FooterEntry } from './footer-table.ts';
export { type IdBlockInput, idAuth, idBlock, idKeyDigest, publicKeyBytes } from './id-block.ts';
export {
  type BlobHashes,
  commandLineBytes,
  hashCommandLine,
  hashTableAddress,
  hashTableSize,
  kernelHashPage,
  kernelHashTable,
  noInitrdHash,
} from './kernel-hashes.ts';
export {
  defaultSevFeatures,
  firmwareDigest,
  type Launch,
  type LaunchVariant,
  launchDigest,
  launchDigests,
  type MeasuredStep,
  sharedDigest,
  type Trace,
  vcpuDigests,
} from './launch-digest.ts';
export { defaultPolicy, hasPolicyBit, policyAbi, policyBits } from './policy.ts';
export { sevDigest, sevEsDigest } from './sev-digest.ts';
export { type MetadataSection, type SectionType, sectionTypes } from './sev-metadata.ts';
export type { FpuState, Vmm } from './vmsa.ts';
export { type LaunchSettings, launchWarnings } from './warnings.ts';

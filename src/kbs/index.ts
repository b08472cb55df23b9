/** The key broker's side: registry, policy, hand-off. The development KBS has a face of its own, dev-kbs/. */
export { handoffFiles, readHandoffRecord, referenceValues, writeHandoff } from './handoff.ts';
export { type MinimumTcb, policyPath, type WrittenPolicy, writePolicy } from './policy/policy.ts';
export type { ImageKind, ImageRecord, LaunchDigestRecord } from './registry/record.ts';
export {
  addImage,
  type Registry,
  readRegistry,
  registryPath,
  retireImage,
  withdrawImage,
} from './registry/registry.ts';
export { type RvpsMessage, rvpsMessage } from './rvps.ts';

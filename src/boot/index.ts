/** The boot proof: a bundle under its real firmware, without SEV-SNP hardware. */
export type { BootResult, Peer } from './boot.ts';
export {
  bootDevelopmentBundle,
  type DevelopmentBoot,
  type DevelopmentBootOptions,
  type Hostile,
} from './development-boot.ts';
export { kvmUsable, peerAddress } from './machine.ts';
export type { Verdict } from './verdict.ts';

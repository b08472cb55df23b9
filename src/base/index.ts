/** The base system and the firmware: found, fetched, built, checked. */
export { type ReachableSuite, reachableSuites } from './apt-reach.ts';
export type { Base } from './base.ts';
export { requireGpuSupport } from './check/gpu.ts';
export {
  type FindFirmwareOptions,
  type FoundFirmware,
  findFirmware,
  localFirmware,
} from './firmware/find.ts';
export { verdictOf } from './firmware/volume.ts';
export { type BaseRecipe, type BuildBaseOptions, buildBase, cachedBase, forgetBase } from './recipe/build.ts';
export { type OptionalList, optionalLists } from './recipe/lists.ts';

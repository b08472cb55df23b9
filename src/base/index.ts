/** The base system and the firmware: found, fetched, built, checked. */
export { type ReachableSuite, reachableSuites } from './apt-reach.ts';
export { type Base, knownBases } from './base.ts';
export { type CompleteOptions, completeBase, completedBase } from './check/complete.ts';
export { requireGpuSupport } from './check/gpu.ts';
export { type BaseReport, type Found, inspectBase, type Missing } from './check/inspect.ts';
export type { Need } from './check/programs.ts';
export { missingLine, remedy, requireBase } from './check/require.ts';
export { type BuildFirmwareOptions, buildFirmware, forgetBuiltFirmware } from './firmware/build.ts';
export {
  type FindFirmwareOptions,
  type FirmwarePlace,
  fetchedFirmware,
  findFirmware,
  firmwarePlaces,
  localFirmware,
} from './firmware/find.ts';
export { type FirmwareFacts, inspectFirmware } from './firmware/inspect.ts';
export type { FoundFirmware } from './firmware/place.ts';
export { verdictOf } from './firmware/volume.ts';
export { cachedImport, type ImportBaseOptions, type ImportSource, importBase } from './import/import.ts';
export { type BaseRecipe, type BuildBaseOptions, buildBase, cachedBase, forgetBase } from './recipe/build.ts';
export { type OptionalList, optionalLists } from './recipe/lists.ts';

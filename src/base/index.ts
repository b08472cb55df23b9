/** The base system and the firmware: found, fetched, built, checked. */
export type { Base } from './base.ts';
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
export { type BaseRecipe, type BuildBaseOptions, buildBase, cachedBase, forgetBase } from './recipe/build.ts';

/** The base system and the firmware: found, fetched, built, checked. */
export type { Base } from './base.ts';
export {
  type FindFirmwareOptions,
  type FoundFirmware,
  findFirmware,
  localFirmware,
} from './firmware/find.ts';
export { verdictOf } from './firmware/volume.ts';
export { cachedImport, type ImportBaseOptions, type ImportSource, importBase } from './import/import.ts';
export { type BaseRecipe, type BuildBaseOptions, buildBase, cachedBase, forgetBase } from './recipe/build.ts';

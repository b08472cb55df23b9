/** The initrd: parts that every site shares, and the site's own. */
export {
  cachedGenericParts,
  forgetGenericParts,
  type GenericOptions,
  genericPartKeys,
  type KeyClient,
  makeGenericParts,
  makeInitrd,
  moduleList,
  type ProgramSource,
} from './initrd.ts';
export type { ExtraProgram } from './parts.ts';
export { sealedOutPorts } from './sealed-ports.ts';
export { type InitSettings, type SitePart, sitePart } from './site-part.ts';

/** The bundle that goes to a site: its manifest, launch script and README, packing and opening it. */

export { commandLine, kernelParameters, type LaunchInput, measureLaunch } from './launch.ts';
export {
  type LaunchScriptReading,
  type LaunchScriptValues,
  readLaunchScript,
} from './launch-script/read.ts';
export type { Reading } from './launch-script/variables.ts';
export { type LaunchScriptInput, launchScript, writeLaunchScript } from './launch-script/write.ts';
export { type FileListing, listingOf } from './listing.ts';
export {
  createdNow,
  describeFiles,
  type LaunchDigest,
  type Manifest,
  manifestSchema,
  manifestText,
  manifestVersion,
  readManifest,
  writeManifest,
} from './manifest.ts';
export { makePrivateFolder, openToReaders } from './modes.ts';
export { bundleFiles, bundleFolderPattern, hashedFiles, manifestName } from './names.ts';
export { type OpenBundle, type OpenBundleOptions, openBundle } from './open.ts';
export { type PackOptions, packBundle } from './pack.ts';
export { type ReadmeInput, readme, writeReadme } from './readme.ts';
export { openSource } from './source/open.ts';
export { type BundleSource, bytesOf } from './source/source.ts';
export {
  type AdminRecord,
  type Check,
  type CheckedBundle,
  type ExaminedBundle,
  type Finding,
  manifestOf,
  recordedFiles,
  type VerifyOptions,
  verifyBundle,
} from './verify/index.ts';

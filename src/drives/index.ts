/** The plain drives of a bundle: making them, reading them, and what goes onto `user_config` and what may not. */
export { printable } from './debugfs-output.ts';
export { type CheckResult, checkDrive } from './files/check.ts';
export { type CopyOptions, type CopyResult, copyFromDrive, copyToDrive } from './files/copy/copy.ts';
export { type DriveInfo, driveInfo } from './files/info.ts';
export { catFile, type Listed, listFiles } from './files/list.ts';
export { removeFromDrive } from './files/remove.ts';
export { requireShare, setShare } from './files/share.ts';
export { measureFolder } from './folder-size.ts';
export { type DriveOptions, makeDrive } from './make-drive.ts';
export { mountDrive } from './mount.ts';
export { hasPrivateName, PrivateKeyScanner } from './private-keys.ts';
export { readQcow2Header } from './qcow2-header.ts';
export {
  type DirectoryEntry,
  listDrive,
  type OpenDrive,
  openDrive,
  readDriveFile,
} from './read-drive.ts';
export {
  type Listing,
  type ResizeMethod,
  type ResizeOptions,
  type ResizeResult,
  resizeDrive,
  sizeText,
} from './resize/index.ts';
export { editableLine, fileLine, folderLine } from './sealed-list.ts';
export { plainLimits, readStartupKit, type StartupKit, type StartupKitOptions } from './startup-kit.ts';
export { treeDigest } from './tree-digest.ts';

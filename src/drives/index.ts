/** The plain drives of a bundle: making them, reading them, and what goes onto `user_config`. */
export { printable } from './debugfs-output.ts';
export { type DriveOptions, makeDrive } from './make-drive.ts';
export { readQcow2Header } from './qcow2-header.ts';
export {
  type DirectoryEntry,
  listDrive,
  type OpenDrive,
  openDrive,
  readDriveFile,
} from './read-drive.ts';
export { readStartupKit, type StartupKit, type StartupKitOptions, startupKitLimits } from './startup-kit.ts';
export { treeDigest } from './tree-digest.ts';

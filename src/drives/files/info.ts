import { stat } from 'node:fs/promises';
import { Ext4 } from '../../host/ext4/filesystem.ts';
import { readable } from '../../host/tar/entry.ts';
import { serveDrive } from '../serve.ts';
import { onDrive } from './malformed.ts';

/** What a drive is, at a glance; sizes in bytes. */
export interface DriveInfo {
  /** ext4 volume label: the drive's name in a bundle. */
  label: string;
  uuid: string;
  /** Size of the drive. */
  driveBytes: number;
  /** What its file takes on this machine. */
  fileBytes: number;
  /** Size of the file system. */
  fileSystemBytes: number;
  usedBytes: number;
  freeBytes: number;
  blockSize: number;
  /** Files, folders and others that there are, and that there can be. */
  inodes: { used: number; all: number };
  /** `journal`: what was written last lies in the journal; a VM runs, or was stopped at once. */
  state: 'clean' | 'journal' | 'errors';
}

/** @throws UserError where it is no drive with ext4 on the whole of it */
export async function driveInfo(drive: string, signal?: AbortSignal): Promise<DriveInfo> {
  return await onDrive('read', drive, async () => {
    await using served = await serveDrive(drive, { writable: false, signal });
    const { superblock } = await Ext4.open(served.disk);
    const { blockSize, blocksCount, freeBlocks, inodesCount, freeInodes } = superblock;
    return {
      label: readable(Buffer.from(superblock.label).toString('latin1')),
      uuid: superblock.uuid,
      driveBytes: served.disk.size,
      fileBytes: (await stat(drive)).blocks * 512,
      fileSystemBytes: blocksCount * blockSize,
      usedBytes: superblock.usedBytes,
      freeBytes: freeBlocks * blockSize,
      blockSize,
      inodes: { used: inodesCount - freeInodes, all: inodesCount },
      state: superblock.hasErrors ? 'errors' : superblock.needsRecovery ? 'journal' : 'clean',
    };
  });
}

import { statfs } from 'node:fs/promises';

/** `f_type` of statfs(2) for tmpfs: TMPFS_MAGIC of linux/magic.h. */
const tmpfsMagic = 0x01021994;

/** Bytes that may be written to a folder, up to `limit`: an eighth of what is free stays, on the disk or in memory. */
export async function roomIn(folder: string, limit: number): Promise<number> {
  const { bavail, bsize, type } = await statfs(folder);
  const free = Math.min(
    bavail * bsize,
    type === tmpfsMagic ? process.availableMemory() : Number.POSITIVE_INFINITY,
  );
  return Math.min(limit, free - free / 8);
}

import type { Blocks } from '../../../host/disk/blocks.ts';
import { readGpt } from './gpt.ts';
import { readMbr } from './mbr.ts';

/** A partition of a disk. */
export interface Partition {
  /** As Linux counts: the 2 of /dev/sda2. */
  number: number;
  /** In bytes from the start of the disk. */
  offset: number;
  /** In bytes. */
  length: number;
  /** GUID of a GPT, two hex digits of an MBR; lower case. */
  type: string;
  /** What /etc/fstab calls PARTUUID; lower case. */
  uuid: string;
  /** What /etc/fstab calls PARTLABEL; empty in an MBR. */
  label: string;
}

/**
 * The partitions of a disk by its GPT, else by its MBR.
 * @returns undefined where it has neither
 * @throws MalformedError where its table is damaged
 */
export async function readPartitions(
  disk: Blocks,
  warn: (text: string) => void,
): Promise<Partition[] | undefined> {
  return (await readGpt(disk, warn)) ?? (await readMbr(disk));
}

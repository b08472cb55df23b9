import { MalformedError } from '../../host/tar/bytes.ts';

/*
 * Entries of 8 bytes, big-endian: QEMU's docs/interop/qcow2.txt, "Cluster mapping".
 */

/** Bits 9 to 55 of an entry: where a table or cluster lies in the file. */
const offsetMask = 0x00ff_ffff_ffff_fe00n;

/** Where a second table lies, bytes; undefined where none was allocated. */
export function secondTable(entry: bigint): number | undefined {
  const offset = Number(entry & offsetMask);
  return offset === 0 ? undefined : offset;
}

/**
 * Where a cluster lies, bytes; undefined where it reads as zeros.
 * @throws MalformedError where it is compressed: no drive that a VM uses is
 */
export function clusterOffset(entry: bigint): number | undefined {
  if ((entry & (1n << 62n)) !== 0n) throw new MalformedError('it has compressed clusters');
  if ((entry & 1n) !== 0n) return undefined;
  return secondTable(entry);
}

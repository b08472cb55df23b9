import { type Blocks, peekBlocks } from '../../../host/disk/blocks.ts';

/** What can lie in a partition, as far as an import has to tell. */
export type Content =
  | 'ext4'
  | 'LVM2'
  | 'LUKS'
  | 'XFS'
  | 'Btrfs'
  | 'ZFS'
  | 'F2FS'
  | 'bcachefs'
  | 'BitLocker'
  | 'RAID'
  | 'NTFS'
  | 'squashfs'
  | 'FAT'
  | 'swap'
  | 'nothing known';

/** [content, offset in bytes, magic], the first match wins. Sources: each one's on-disk format in the kernel's or the project's documentation. */
const magics: readonly (readonly [Content, number, string | readonly number[]])[] = [
  ['LUKS', 0, [0x4c, 0x55, 0x4b, 0x53, 0xba, 0xbe]],
  ['BitLocker', 3, '-FVE-FS-'],
  ['RAID', 4096, [0xfc, 0x4e, 0x2b, 0xa9]],
  ['LVM2', 512, 'LABELONE'],
  ['LVM2', 0, 'LABELONE'],
  ['LVM2', 1024, 'LABELONE'],
  ['LVM2', 1536, 'LABELONE'],
  ['XFS', 0, 'XFSB'],
  ['Btrfs', 65_536 + 64, '_BHRfS_M'],
  ['F2FS', 1024, [0x10, 0x20, 0xf5, 0xf2]],
  ['bcachefs', 4096 + 24, [0xc6, 0x85, 0x73, 0xf6, 0x4e, 0x1a, 0x45, 0xca]],
  // The uberblocks of a pool's first label; which of them is written first depends on the pool.
  ...[0, 1, 2, 3, 4, 5, 6, 7].map(
    (index) => ['ZFS', 131_072 + index * 1024, [0x0c, 0xb1, 0xba, 0, 0, 0, 0, 0]] as const,
  ),
  ['ext4', 1024 + 56, [0x53, 0xef]],
  ['squashfs', 0, 'hsqs'],
  ['swap', 4096 - 10, 'SWAPSPACE2'],
  ['NTFS', 3, 'NTFS    '],
  ['FAT', 82, 'FAT32   '],
  ['FAT', 54, 'FAT1'],
];

/** What a partition or a volume holds, by its own magic number. ext2 and ext3 count as ext4: one driver reads all three. */
export async function contentOf(blocks: Blocks): Promise<Content> {
  const start = await peekBlocks(blocks, 0, 140 * 1024);
  for (const [content, offset, magic] of magics) {
    const bytes = typeof magic === 'string' ? Buffer.from(magic, 'latin1') : Buffer.from(magic);
    if (start.subarray(offset, offset + bytes.length).equals(bytes)) return content;
  }
  return 'nothing known';
}

/** Volume label and serial number of a FAT file system, as /etc/fstab names them; undefined where it has none. */
export async function fatNames(blocks: Blocks): Promise<{ uuid: string; label: string }> {
  const sector = await peekBlocks(blocks, 0, 512);
  // Extended boot record: offset 67 in FAT32, 39 in FAT12 and FAT16 (Microsoft FAT specification 1.03, 3.2 and 3.3).
  const at = sector.toString('latin1', 82, 87) === 'FAT32' ? 67 : 39;
  const serial = sector.readUInt32LE(at).toString(16).padStart(8, '0').toUpperCase();
  return {
    uuid: `${serial.slice(0, 4)}-${serial.slice(4)}`,
    label: sector.toString('latin1', at + 4, at + 15).trimEnd(),
  };
}

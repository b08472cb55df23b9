import { UserError } from '../../host/errors.ts';
import type { Superblock } from '../../host/ext4/superblock.ts';
import { MalformedError } from '../../host/tar/bytes.ts';

/**
 * Features with which a file system is written to; each bit is a feature of the kernel's super.rst. What is missing changes how
 * blocks are counted or where content lies (BIGALLOC, INLINE_DATA, QUOTA, ENCRYPT, …), and no drive of a bundle has it.
 */
const written = {
  /** DIR_PREALLOC, HAS_JOURNAL, EXT_ATTR, RESIZE_INODE, DIR_INDEX, SPARSE_SUPER2, FAST_COMMIT, STABLE_INODES, ORPHAN_FILE. */
  compatible: 0x1 | 0x4 | 0x8 | 0x10 | 0x20 | 0x200 | 0x400 | 0x800 | 0x1000,
  /** FILETYPE, RECOVER, EXTENTS, 64BIT, FLEX_BG, CSUM_SEED. */
  incompatible: 0x2 | 0x4 | 0x40 | 0x80 | 0x200 | 0x2000,
  /** SPARSE_SUPER, LARGE_FILE, HUGE_FILE, GDT_CSUM, DIR_NLINK, EXTRA_ISIZE, METADATA_CSUM. */
  readOnlyCompatible: 0x1 | 0x2 | 0x8 | 0x10 | 0x20 | 0x40 | 0x400,
} as const;
const hasJournal = 0x4;
const extents = 0x40;

/**
 * Refuses a journal that lies elsewhere: e2fsck would open the device of this machine that the drive names.
 * @throws MalformedError
 */
export function requireOwnJournal({ features, journalInode }: Superblock): void {
  if ((features.compatible & hasJournal) !== 0 && journalInode === 0)
    throw new MalformedError('its journal is on another device');
}

/** @throws UserError where the file system of a drive is none that is written to */
export function requireWritable(drive: string, superblock: Superblock): void {
  const { features, hasErrors, blocksCount } = superblock;
  const cannot = (cause: string, hint: string) =>
    new UserError(`cannot write to drive ${drive}: ${cause}`, { hint });
  if (hasErrors)
    throw cannot(
      'its file system has errors',
      `cvm drive check --repair ${drive} repairs what is safe to repair`,
    );
  const unknown = (Object.keys(written) as (keyof typeof written)[])
    .map((kind) => [kind, (features[kind] & ~written[kind]) >>> 0] as const)
    .filter(([, bits]) => bits !== 0);
  const plain = 'copy its files to a drive of a bundle, which is plain ext4 with a journal';
  if (unknown.length > 0) {
    const named = unknown.map(([kind, bits]) => `${kind} 0x${bits.toString(16)}`).join(', ');
    throw cannot(`its file system has features that are not written here (${named})`, plain);
  }
  if ((features.compatible & hasJournal) === 0) throw cannot('its file system has no journal', plain);
  if ((features.incompatible & extents) === 0) throw cannot('it is not ext4, but ext2 or ext3', plain);
  if (blocksCount > 2 ** 32) throw cannot('it has more than 2^32 blocks', plain);
}

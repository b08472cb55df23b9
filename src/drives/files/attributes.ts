import type { SourceEntry } from './copy/source-tree.ts';

/** Owner and group of what is written, by number. */
export interface Owner {
  uid: number;
  gid: number;
}

/** Types of inode modes (`i_mode & 0xf000`). */
const typeBits = { file: 0o100000, folder: 0o040000, link: 0o120000 } as const;
/** debugfs takes seconds as 32 bits; what lies outside is brought to the next end. */
const latest = 0x7fff_ffff;

export interface AttributeOptions {
  /** For everything; the source's own where root copies, else 0:0. */
  owner?: Owner | undefined;
}

/** Commands that give an inode of the drive mode, owner and times of its source. */
export function attributeCommands(
  inode: number,
  { kind, stat }: SourceEntry,
  { owner }: AttributeOptions,
): string[] {
  const root = process.getuid?.() === 0;
  const { uid, gid } =
    owner ?? (root ? { uid: Number(stat.uid), gid: Number(stat.gid) } : { uid: 0, gid: 0 });
  // Set-id bits count for an owner: they go where that one goes.
  const keepsOwner = root && owner === undefined;
  const mode = typeBits[kind] | (Number(stat.mode) & (keepsOwner ? 0o7777 : 0o1777));
  const seconds = stat.mtimeNs / 1_000_000_000n;
  const inside = seconds >= 0n && seconds <= BigInt(latest);
  const time = inside ? Number(seconds) : seconds < 0n ? 0 : latest;
  const nanoseconds = inside ? Number(stat.mtimeNs % 1_000_000_000n) : 0;
  return [
    ['mode', `0${mode.toString(8)}`],
    ['uid', uid],
    ['gid', gid],
    ...['atime', 'ctime', 'mtime'].flatMap((name) => [
      [name, `@${time}`],
      [`${name}_extra`, nanoseconds * 4],
    ]),
  ].map(([field, value]) => `set_inode_field <${inode}> ${field} ${value}`);
}

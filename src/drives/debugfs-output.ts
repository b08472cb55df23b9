/** An entry of a folder on a drive. */
export interface DirectoryEntry {
  /** Decoded as UTF-8; may hold any character but '/', so show it with {@link printable}. */
  name: string;
  inode: number;
  kind: 'file' | 'folder' | 'other';
  /** Permission bits, at most 0o7777. */
  mode: number;
  /** Bytes; 0 where debugfs gives none, as for folders. */
  size: number;
}

/** File types of inode modes (`i_mode & 0xf000`, Linux's include/uapi/linux/stat.h). */
const folderType = 0o040000;
const fileType = 0o100000;

/**
 * Parses `ls -p`: lines `/inode/mode/uid/gid/name/size/`, mode in octal. A name with a newline can forge a line, which
 * gains a hostile drive nothing: the numbers only lead to its own inodes, which it could name so anyway.
 * @param text as latin1, one character for a byte
 */
export function parseListing(text: string): DirectoryEntry[] {
  const entries: DirectoryEntry[] = [];
  for (const line of text.split('\n')) {
    const match = /^\/(\d+)\/(\d{6})\/\d+\/\d+\/([^/]+)\/(\d*)\/$/.exec(line);
    if (match === null) continue;
    const [, inode, mode, name, size] = match as unknown as [string, string, string, string, string];
    if (name === '.' || name === '..' || inode === '0') continue;
    const bits = Number.parseInt(mode, 8);
    const type = bits & 0o170000;
    entries.push({
      name: Buffer.from(name, 'latin1').toString('utf8'),
      inode: Number(inode),
      kind: type === fileType ? 'file' : type === folderType ? 'folder' : 'other',
      mode: bits & 0o7777,
      size: Number(size),
    });
  }
  return entries;
}

/** Parses the first lines of `stat <inode>`: type as debugfs words it (`regular`, `directory`, …), size in bytes. */
export function parseStat(text: string): { type: string; size: number } {
  const type = /^Inode: \d+ +Type: (.+?) +Mode: /m.exec(text)?.[1] ?? 'unknown';
  const size = Number(/^User: .* Size: (\d+)$/m.exec(text)?.[1] ?? Number.NaN);
  // Devices show no size; the type refuses them before anyone asks.
  return { type, size: Number.isSafeInteger(size) ? size : Number.POSITIVE_INFINITY };
}

/** A name for a terminal: control characters and bytes that are no UTF-8 are shown as `?`. */
export function printable(name: string): string {
  return name.replaceAll(/[\p{Cc}\p{Cf}\ufffd]/gu, '?');
}

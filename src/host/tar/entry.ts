/** What a tar entry is. `other` covers what neither squashfs nor Docker knows (contiguous files, volume labels, …). */
export type EntryType =
  | 'file'
  | 'hard link'
  | 'symlink'
  | 'character device'
  | 'block device'
  | 'directory'
  | 'fifo'
  | 'other';

/**
 * One entry of a tar stream, extensions resolved.
 *
 * Names are *byte strings*: one UTF-16 unit per byte (Node's `latin1`), because file names are bytes and need not be
 * UTF-8. {@link readable} turns one into text for people.
 */
export interface TarEntry {
  name: string;
  type: EntryType;
  /** Permission bits with set-user-id, set-group-id and sticky: 0 to 07777. */
  mode: number;
  uid: number;
  gid: number;
  /** Seconds since 1970; may be negative. */
  mtime: number;
  /** Bytes of the body; 0 for all but files. */
  size: number;
  /** Target of a link, as a byte string. */
  linkName: string;
  deviceMajor: number;
  deviceMinor: number;
  /** Extended attributes by full name, e.g. `security.capability`; values are bytes. ACLs of a tar stream are text. */
  xattrs: ReadonlyMap<string, Buffer>;
}

/** A byte string as text for messages: UTF-8 where it is, control characters escaped, shortened when very long. */
export function readable(name: string): string {
  const text = Buffer.from(name, 'latin1')
    .toString('utf8')
    // biome-ignore lint/suspicious/noControlCharactersInRegex: a hostile name must not steer the terminal
    .replace(/[\u0000-\u001f\u007f-\u009f]/g, (c) => `\\x${c.charCodeAt(0).toString(16).padStart(2, '0')}`);
  return text.length <= 200 ? text : `${text.slice(0, 160)}…${text.slice(-30)}`;
}

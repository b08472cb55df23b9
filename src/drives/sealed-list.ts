import { createHash } from 'node:crypto';

/**
 * The sealed list: every entry of the plain `user_config` tree, one a line, which the guest compares with what it
 * copied from the drive. The root itself is not listed; sealed files are not either, because they never lie there.
 *
 *     d <mode> - <path>           folder
 *     f <mode> <sha256> <path>    file: mode and content are sealed
 *     e - - <path>                regular file that may hold anything
 *
 * Mode: four octal digits. SHA-256: lower-case hex. Path: `nvflare/startup/sub_start.sh`, no leading `./`. Lines are in
 * the order of `LC_ALL=C sort`, that is, bytewise as whole lines; each ends in a newline.
 */

const octal = (mode: number) => mode.toString(8).padStart(4, '0');

/** Line of a folder. */
export const folderLine = (path: string, mode: number) => `d ${octal(mode)} - ${path}`;

/** Line of a sealed file. */
export const fileLine = (path: string, mode: number, sha256: string) => `f ${octal(mode)} ${sha256} ${path}`;

/** Line of a file that the site may edit. */
export const editableLine = (path: string) => `e - - ${path}`;

/** The order of `LC_ALL=C sort`: UTF-8 bytes, not JavaScript's UTF-16 units. */
export function compareBytes(a: string, b: string): number {
  return Buffer.compare(Buffer.from(a), Buffer.from(b));
}

/** SHA-256, in hex, over lines of a tree in whatever order they come: the form in which builds record what they were made of. */
export function digestOfLines(lines: readonly string[]): string {
  const hash = createHash('sha256');
  for (const line of lines.toSorted(compareBytes)) hash.update(`${line}\n`);
  return hash.digest('hex');
}

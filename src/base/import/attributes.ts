import { readable, type TarEntry } from '../../host/tar/entry.ts';

/** Attributes whose names squashfs can hold (squashfs-tools-ng: user, trusted and security). */
const holds = /^(?:user|trusted|security)\../;

/** Tags of an ACL entry (ext4 on disk; linux/posix_acl.h). */
const tag = { user: 0x02, groupObject: 0x04, group: 0x08, mask: 0x10 } as const;

/**
 * An entry with those attributes that squashfs holds. An access ACL is lost, and the group's bits of the mode, which were its
 * mask, become what it gave the owning group: losing a list must not give anybody more.
 */
export function forSquashfs(entry: TarEntry): { entry: TarEntry; lost: string[] } {
  if (entry.xattrs.size === 0) return { entry, lost: [] };
  const kept = new Map<string, Buffer>();
  const lost: string[] = [];
  let { mode } = entry;
  for (const [name, value] of entry.xattrs) {
    if (holds.test(name)) {
      kept.set(name, value);
      continue;
    }
    lost.push(name);
    if (name === 'system.posix_acl_access') mode = (mode & ~0o070) | (groupOfAcl(value) << 3);
  }
  return { entry: { ...entry, mode, xattrs: kept }, lost };
}

/** What an access ACL lets the owning group do, 0 to 7; 0 where it cannot be read. */
export function groupOfAcl(value: Buffer): number {
  // star's and GNU tar's text: `user::rw-,group::r--,mask::r--,…`, entries parted by commas or new lines.
  const text = value.toString('latin1');
  if (/^(?:user|u):/.test(text)) {
    const bits = (pattern: RegExp) => {
      const found = pattern.exec(text)?.[1];
      return found === undefined
        ? undefined
        : [...found].reduce((sum, c) => sum + ({ r: 4, w: 2, x: 1 }[c] ?? 0), 0);
    };
    return (
      (bits(/(?:^|[,\n])g(?:roup)?::([rwx-]{3})/) ?? 0) & (bits(/(?:^|[,\n])m(?:ask)?::([rwx-]{3})/) ?? 7)
    );
  }
  // ext4 on disk: a version word of 1, then tag and rights of 16 bits each, with an id of 32 bits where the tag names somebody.
  let group = 0;
  let mask = 7;
  for (let at = 4; at + 4 <= value.length; ) {
    const kind = value.readUInt16LE(at);
    if (kind === tag.groupObject) group = value.readUInt16LE(at + 2);
    if (kind === tag.mask) mask = value.readUInt16LE(at + 2);
    at += kind === tag.user || kind === tag.group ? 8 : 4;
  }
  return group & mask & 7;
}

/** Attributes that {@link forSquashfs} left out, by name: the first path that had it, and how many had. */
export class LostAttributes {
  readonly #lost = new Map<string, { first: string; count: number }>();

  add(name: string, path: string): void {
    const known = this.#lost.get(name);
    if (known === undefined) this.#lost.set(name, { first: path, count: 1 });
    else known.count += 1;
  }

  /** One line for each name. */
  *warnings(): Generator<string> {
    for (const [name, { first, count }] of this.#lost) {
      const others = count > 1 ? ` and ${count - 1} more` : '';
      yield `squashfs cannot hold ${readable(name)}: it is lost on ${readable(first)}${others}`;
    }
  }
}

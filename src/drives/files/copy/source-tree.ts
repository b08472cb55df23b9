import type { BigIntStats } from 'node:fs';
import { lstat, readdir, readlink } from 'node:fs/promises';
import { hasCode, messageOf, UserError } from '../../../host/errors.ts';
import { readable } from '../../../host/tar/entry.ts';
import { unusableWord } from '../write/debugfs-script.ts';

/** A file, folder or link of this machine that is to be copied. */
export interface SourceEntry {
  kind: 'file' | 'folder' | 'link';
  /** Last part of the path, a byte string. */
  name: string;
  /** Path here, as bytes: names need not be UTF-8. */
  path: Buffer;
  stat: BigIntStats;
  /** Target of a link, a byte string. */
  target: string;
  /** Entries of a folder, sorted by name. */
  children: SourceEntry[];
}

/** What to do with what is met. */
export interface SourceOptions {
  recursive: boolean;
  /** Told of what is neither file, folder nor link, which is left out. */
  warn: (text: string) => void;
  signal?: AbortSignal | undefined;
}

/**
 * Looks at everything that is to be copied; links are not followed.
 * @param name under which it is copied, a byte string
 * @throws UserError where something cannot be read, or has a name that cannot be written
 */
export async function readSource(
  path: Buffer,
  name: string,
  options: SourceOptions,
): Promise<SourceEntry | undefined> {
  options.signal?.throwIfAborted();
  const cannot = (cause: string, hint?: string) =>
    new UserError(
      `cannot copy ${readable(path.toString('latin1'))}: ${cause}`,
      hint === undefined ? {} : { hint },
    );
  const stat = await lstat(path, { bigint: true }).catch((error: unknown) => {
    throw cannot(hasCode(error, 'ENOENT') ? 'there is no such file or folder' : messageOf(error));
  });
  const unusable = unusableWord(name);
  if (unusable !== undefined || name.length > 255)
    throw cannot(`its name ${unusable ?? 'is too long'}`, 'rename it');
  const entry = { name, path, stat, target: '', children: [] };
  if (stat.isFile()) return { ...entry, kind: 'file' };
  if (stat.isSymbolicLink()) {
    const target = (await readlink(path, { encoding: 'buffer' })).toString('latin1');
    const why = unusableWord(target);
    if (why !== undefined) throw cannot(`its target ${why}`);
    return { ...entry, kind: 'link', target };
  }
  if (!stat.isDirectory()) {
    options.warn(
      `${readable(path.toString('latin1'))} is left out: it is neither a file, a folder nor a link`,
    );
    return undefined;
  }
  if (!options.recursive) throw cannot('it is a folder', 'copy folders with -r');
  const names = await readdir(path, { encoding: 'buffer' }).catch((error: unknown) => {
    throw cannot(messageOf(error));
  });
  const children: SourceEntry[] = [];
  for (const each of names.sort(Buffer.compare)) {
    const child = await readSource(Buffer.concat([path, slash, each]), each.toString('latin1'), options);
    if (child !== undefined) children.push(child);
  }
  return { ...entry, kind: 'folder', children };
}

const slash = Buffer.from('/');

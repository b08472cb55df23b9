import { ByteReader, type Bytes, MalformedError } from './bytes.ts';
import type { EntryType, TarEntry } from './entry.ts';
import { blockSize, isEnd, parseHeader, type RawHeader, typeOfFlag } from './header.ts';
import { type PaxRecord, parsePax, paxInteger } from './pax.ts';
import { fillHoles, oldGnuMap, paxMap, type SparseMap } from './sparse.ts';

/** Largest extended header that is read: names and attributes are far smaller. */
const maximumExtension = 1024 * 1024;

/** Extended headers in front of one entry, or at the end. A name and a link are two, and attributes a third. */
const mostExtensions = 100;

/** An entry with its body. What the consumer leaves of the body is skipped. */
export interface TarItem {
  entry: TarEntry;
  body: Bytes;
}

/** Extension headers collected before the entry they speak of. */
interface Extensions {
  pax: PaxRecord[];
  longName?: string;
  longLink?: string;
}

const xattrPrefix = 'SCHILY.xattr.';
/** Access control lists as star and GNU tar write them, as text, by the attribute that the kernel keeps them in. */
const aclKeys: Readonly<Record<string, string>> = {
  'SCHILY.acl.access': 'system.posix_acl_access',
  'SCHILY.acl.default': 'system.posix_acl_default',
};

/** Name of the extended attribute that a pax record holds, or undefined. */
function xattrName(key: string): string | undefined {
  return key.startsWith(xattrPrefix) ? key.slice(xattrPrefix.length) : aclKeys[key];
}

async function extension(reader: ByteReader, header: RawHeader): Promise<Buffer> {
  if (header.size < 0 || header.size > maximumExtension)
    throw new MalformedError('an extended tar header is too large');
  const padded = Math.ceil(header.size / blockSize) * blockSize;
  if (padded === 0) return Buffer.alloc(0);
  const data = await reader.exactly(padded);
  if (data === undefined) throw new MalformedError('it ends early');
  // A copy: the reader's chunks are large and would be kept alive by a few bytes of attributes.
  return Buffer.from(data.subarray(0, header.size));
}

function untilNul(data: Buffer): string {
  const end = data.indexOf(0);
  return data.toString('latin1', 0, end < 0 ? data.length : end);
}

function typeOf(header: RawHeader): EntryType {
  const type = typeOfFlag[header.typeFlag] ?? 'other';
  // Before POSIX a directory was a file whose name ends in a slash.
  return type === 'file' && header.name.endsWith('/') ? 'directory' : type;
}

function resolve(
  header: RawHeader,
  { pax, longName, longLink }: Extensions,
  sparse: SparseMap | undefined,
): TarEntry {
  const bytes = (key: string) => pax.findLast((record) => record.key === key)?.value;
  const string = (key: string) => {
    const value = bytes(key);
    return value === undefined || value.length === 0 ? undefined : value.toString('latin1');
  };
  const integer = (key: string, otherwise: number) => {
    const value = bytes(key);
    if (value === undefined || value.length === 0) return otherwise;
    const parsed = paxInteger(value);
    if (parsed === undefined) throw new MalformedError(`an extended tar header has no number for ${key}`);
    return parsed;
  };
  const name = sparse?.name ?? string('path') ?? longName ?? header.name;
  const type = typeOf({ ...header, name });
  const xattrs = new Map(
    pax.flatMap(({ key, value }) => {
      const name = xattrName(key);
      return name === undefined ? [] : [[name, value] as const];
    }),
  );
  return {
    ...header,
    name,
    type,
    uid: integer('uid', header.uid),
    gid: integer('gid', header.gid),
    mtime: integer('mtime', header.mtime),
    size: type === 'file' ? (sparse?.realSize ?? integer('size', header.size)) : 0,
    linkName: string('linkpath') ?? longLink ?? header.linkName,
    xattrs,
  };
}

/**
 * Reads a tar stream: ustar, pax, GNU (long names, large numbers, files with holes) and the formats before them.
 * Bodies must be read before the next entry is asked for. After the closing block of zeros the rest is read and
 * ignored, so that whoever hashes the source sees every byte. A consumer that stops early closes the source.
 * @throws MalformedError where the stream is damaged or ends early
 */
export async function* readTar(source: Bytes): AsyncGenerator<TarItem> {
  const reader = new ByteReader(source);
  try {
    yield* readItems(reader);
  } finally {
    await reader.close();
  }
}

async function* readItems(reader: ByteReader): AsyncGenerator<TarItem> {
  let pending: Extensions = { pax: [] };
  let extensions = 0;
  for (
    let block = await reader.exactly(blockSize);
    block !== undefined;
    block = await reader.exactly(blockSize)
  ) {
    if (isEnd(block)) {
      await reader.drain();
      return;
    }
    // A copy: the body's chunks take the place of the block's.
    const raw = Buffer.from(block);
    const header = parseHeader(raw);
    extensions = 'xLKg'.includes(header.typeFlag) ? extensions + 1 : 0;
    if (extensions > mostExtensions)
      throw new MalformedError(`it has more than ${mostExtensions} extended headers in a row`);
    switch (header.typeFlag) {
      case 'x':
        pending.pax = parsePax(await extension(reader, header));
        continue;
      case 'L':
        pending.longName = untilNul(await extension(reader, header));
        continue;
      case 'K':
        pending.longLink = untilNul(await extension(reader, header));
        continue;
      case 'g':
        // Defaults for all entries: comments of `git archive` in practice; Docker ignores them as well.
        await extension(reader, header);
        continue;
    }
    const sparse = header.typeFlag === 'S' ? await oldGnuMap(raw, reader) : paxMap(pending.pax);
    const entry = resolve(header, pending, sparse);
    // A size that belongs to the stored body, not to the file with its holes.
    const stored = entry.type === 'file' || entry.type === 'other' ? storedSize(header, pending.pax) : 0;
    pending = { pax: [] };

    let left = stored;
    async function* body() {
      while (left > 0) {
        const piece = await reader.some(left);
        if (piece === undefined) throw new MalformedError('it ends early');
        left -= piece.length;
        yield piece;
      }
    }
    yield { entry, body: sparse === undefined ? body() : fillHoles(sparse, body(), stored) };
    // What the consumer left, then the padding. umoci leaves out the last entry's padding and the closing blocks,
    // and whoever reads with Go's library takes that.
    const padding = (blockSize - (stored % blockSize)) % blockSize;
    for (left += padding; left > 0; ) {
      const piece = await reader.some(left);
      if (piece === undefined && left <= padding) return;
      if (piece === undefined) throw new MalformedError('it ends early');
      left -= piece.length;
    }
  }
}

function storedSize(header: RawHeader, pax: readonly PaxRecord[]): number {
  const record = pax.findLast(({ key }) => key === 'size')?.value;
  const size = record === undefined || record.length === 0 ? header.size : paxInteger(record);
  if (size === undefined || size < 0) throw new MalformedError('a tar header has no valid size');
  return size;
}

import { constants } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { messageOf, UserError } from '../../../host/errors.ts';
import { run } from '../../../host/run.ts';
import { readable } from '../../../host/tar/entry.ts';
import type { SourceEntry } from './source-tree.ts';

/** A run of bytes of a file, in blocks of the drive. */
export interface Range {
  first: number;
  /** Behind the last one. */
  end: number;
}

/** A file of this machine, open for copying. */
export interface SourceContent extends AsyncDisposable {
  handle: FileHandle;
  /** @throws UserError where the file is not what was looked at any more */
  assertUnchanged(): Promise<void>;
}

/** @throws UserError where the file cannot be read, or became something else since it was looked at */
export async function openSource({ path, stat }: SourceEntry): Promise<SourceContent> {
  const shown = readable(path.toString('latin1'));
  // What was a file a moment ago may be a link or a pipe by now.
  const flags = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;
  const handle = await open(path, flags).catch((error: unknown) => {
    throw new UserError(`cannot copy ${shown}: ${messageOf(error)}`, { cause: error });
  });
  const assertUnchanged = async () => {
    const now = await handle.stat({ bigint: true });
    const same =
      now.isFile() && now.ino === stat.ino && now.size === stat.size && now.mtimeNs === stat.mtimeNs;
    if (same) return;
    throw new UserError(`cannot copy ${shown}: it changed meanwhile`, {
      hint: 'run the same command again: what was copied stays',
    });
  };
  try {
    await assertUnchanged();
  } catch (error) {
    await handle.close();
    throw error;
  }
  return { handle, assertUnchanged, [Symbol.asyncDispose]: () => handle.close() };
}

/**
 * Where a file has content; the rest are holes.
 * @param from bytes, a multiple of the block size: what lies before is left out
 */
export async function dataRanges(entry: SourceEntry, from: number, blockSize: number): Promise<Range[]> {
  const size = Number(entry.stat.size);
  const first = from / blockSize;
  const end = Math.ceil(size / blockSize);
  if (first >= end) return [];
  if (entry.stat.blocks * 512n >= entry.stat.size) return [{ first, end }];
  await using source = await openSource(entry);
  // Node cannot ask a file for its holes; qemu-img can.
  const image = 'driver=raw,force-share=on,file.driver=file,file.filename=/proc/self/fd/0';
  const text = await run('qemu-img', ['map', '--output=json', '--image-opts', image], {
    stdin: source.handle.fd,
  });
  const ranges: Range[] = [];
  for (const { start, length, data } of JSON.parse(text) as {
    start: number;
    length: number;
    data: boolean;
  }[]) {
    if (!data) continue;
    const range = {
      first: Math.max(first, Math.floor(start / blockSize)),
      end: Math.min(end, Math.ceil((start + length) / blockSize)),
    };
    const last = ranges.at(-1);
    if (last !== undefined && range.first <= last.end) last.end = Math.max(last.end, range.end);
    else if (range.first < range.end) ranges.push(range);
  }
  return ranges;
}

/** Bytes of a file from `offset` on, filled with zeros behind its end. @param room at least as long; the bytes go there */
export async function readSourceBytes(
  handle: FileHandle,
  offset: number,
  length: number,
  room: Buffer = Buffer.allocUnsafe(length),
): Promise<Buffer> {
  const buffer = room.subarray(0, length);
  let have = 0;
  while (have < length) {
    const { bytesRead } = await handle.read(buffer, have, length - have, offset + have);
    if (bytesRead === 0) break;
    have += bytesRead;
  }
  // Blocks on the drive may hold what was deleted before.
  buffer.fill(0, have);
  return buffer;
}

import { availableParallelism } from 'node:os';
import { pipeline } from 'node:stream/promises';
import { messageOf, UserError } from './errors.ts';
import { roomIn } from './room.ts';
import { run, start, toolError } from './run.ts';

/**
 * Options by which every squashfs of a bundle is made: zstd level 3, time stamps 0 where the source has none.
 * The result does not depend on the number of workers.
 */
export function squashfsOptions(): string[] {
  const workers = String(Math.min(8, availableParallelism()));
  return ['-q', '-f', '-c', 'zstd', '-X', 'level=3', '-j', workers, '-d', 'mtime=0'];
}

/**
 * One file out of a squashfs.
 * @throws UserError where the image holds no such file or it is larger than `limit` bytes.
 */
export async function readSquashfsFile(
  image: string,
  path: string,
  { limit = 1 << 20, signal }: { limit?: number; signal?: AbortSignal | undefined } = {},
): Promise<Buffer> {
  const args = ['--cat', path, image];
  // Gathered here: rdsquashfs writes 512 bytes at a time, over which execa's own buffer takes a time of their square.
  const reader = start('rdsquashfs', args, { signal }, { buffer: { stdout: false } });
  // A failure is awaited below; one that comes while the output is read must not count as nobody's.
  reader.catch(() => {});
  const pieces: Buffer[] = [];
  let size = 0;
  try {
    for await (const piece of reader.stdout! as AsyncIterable<Buffer>) {
      size += piece.length;
      if (size > limit) break;
      pieces.push(piece);
    }
    if (size > limit) {
      reader.kill();
      throw new UserError(`it is larger than ${limit} bytes`);
    }
    await reader;
    return Buffer.concat(pieces);
  } catch (error) {
    throw new UserError(
      `cannot read ${path} in ${image}: ${messageOf(toolError('rdsquashfs', args, error, { signal }))}`,
    );
  }
}

/** An entry of a squashfs. */
export interface SquashfsEntry {
  /** As rdsquashfs names it: `file`, `dir`, `slink`, `nod`, `pipe` or `sock`. */
  type: string;
  /** Without a leading slash. */
  path: string;
  /** Permission bits, set-id and sticky included. */
  mode: number;
  /** What a symbolic link holds. */
  target?: string;
}

/** Everything in a squashfs. Names with newlines are not expected in a base. */
export async function describeSquashfs(image: string, signal?: AbortSignal): Promise<SquashfsEntry[]> {
  const text = await run('rdsquashfs', ['--describe', image], { signal });
  return text.split('\n').flatMap((line) => {
    const match = /^(\w+) (?:"((?:[^"\\]|\\.)*)"|(\S+)) ([0-7]+) \d+ \d+(?: (.*))?$/.exec(line);
    if (match === null) return [];
    const [, type = '', quoted, plain = '', mode = '', rest] = match;
    const path = (quoted?.replaceAll(/\\(["\\])/g, '$1') ?? plain).replace(/^\//, '');
    const entry = { type, path, mode: Number.parseInt(mode, 8) };
    return [type === 'slink' && rest !== undefined ? { ...entry, target: rest } : entry];
  });
}

/** Paths of everything in a squashfs, without a leading slash. */
export async function listSquashfs(image: string, signal?: AbortSignal): Promise<string[]> {
  return (await describeSquashfs(image, signal)).map(({ path }) => path);
}

/** Most that a squashfs may take when it is unpacked, in bytes: many times any base. */
export const largestUnpacked = 32 * 2 ** 30;

/**
 * Unpacks a squashfs into a private folder as the calling user: no owners, no set-id bits, no device nodes for ordinary accounts.
 * For a base, whose programs and libraries the initrd is collected from; never for a workload.
 * A few kilobytes can hold gigabytes of zeros, so that what comes out is counted.
 * @param limit most bytes that may come out, as a tar archive
 * @throws UserError where it holds more than that, or more than there is room for
 */
export async function unpackSquashfs(
  image: string,
  folder: string,
  signal?: AbortSignal,
  limit: number = largestUnpacked,
): Promise<void> {
  const room = await roomIn(folder, limit);
  let have = 0;
  async function* counted(stream: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
    for await (const piece of stream) {
      have += piece.length;
      if (have > room) {
        throw new UserError(
          `cannot unpack ${image}: it holds more than the ${Math.floor(room / 2 ** 20)} MiB there is room for`,
          { hint: `free some room in ${folder}, or take a smaller base` },
        );
      }
      yield piece;
    }
  }
  const reader = start('sqfs2tar', [image], { signal }, { buffer: { stdout: false } });
  const tarArguments = [
    '-x',
    '-C',
    folder,
    '--no-same-owner',
    '--no-same-permissions',
    '--exclude=./dev',
    '--exclude=dev',
  ];
  const writer = start('tar', tarArguments, { signal }, { stdin: 'pipe' });
  const [read, written, piped] = await Promise.allSettled([
    reader,
    writer,
    pipeline(reader.stdout!, counted, writer.stdin!),
  ]);
  if (have > room && piped.status === 'rejected') throw piped.reason;
  if (read.status === 'rejected') throw toolError('sqfs2tar', [image], read.reason, { signal });
  if (written.status === 'rejected') throw toolError('tar', tarArguments, written.reason, { signal });
  if (piped.status === 'rejected') throw piped.reason;
}

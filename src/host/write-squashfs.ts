import { availableParallelism } from 'node:os';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { hasCode } from './errors.ts';
import { start, toolError } from './run.ts';
import { type Bytes, coalesce } from './tar/bytes.ts';

/**
 * The same tar stream gives the same bytes whatever the number of jobs. `--no-skip`: an entry that tar2sqfs cannot
 * take fails the build; by default it would be left out in silence.
 */
function tar2sqfsArguments(target: string): string[] {
  return [
    '--quiet',
    '--force',
    '--no-skip',
    ...['--compressor', 'zstd', '--comp-extra', 'level=3'],
    ...['--num-jobs', String(availableParallelism())],
    ...['--defaults', 'uid=0,gid=0,mode=0755,mtime=0'],
    target,
  ];
}

/**
 * Streams a tar into a new squashfs file. A failure of the source ends tar2sqfs and is thrown as it is.
 * @throws UserError where tar2sqfs fails
 */
export async function writeSquashfs(tar: Bytes, target: string, signal?: AbortSignal): Promise<void> {
  const args = tar2sqfsArguments(target);
  // Its own controller: where the source fails, tar2sqfs must not take the end of its input for the end of the layer.
  const stop = new AbortController();
  const abort = () => stop.abort(signal?.reason);
  if (signal?.aborted) abort();
  signal?.addEventListener('abort', abort, { once: true });
  const options = { signal: stop.signal, hint: 'is the disk full?' };
  const child = start('tar2sqfs', args, options, { stdin: 'pipe' });
  const ended = child.then(
    () => undefined,
    (error: unknown) => error ?? new Error('tar2sqfs failed'),
  );
  try {
    await pipeline(
      Readable.from(coalesce(tar), { objectMode: false, highWaterMark: 512 * 1024 }),
      child.stdin!,
    );
  } catch (error) {
    // tar2sqfs closed its input: its own words say why.
    const toolFailed = hasCode(error, 'EPIPE') || hasCode(error, 'ERR_STREAM_PREMATURE_CLOSE');
    if (!toolFailed) stop.abort(error);
    const failure = await ended;
    throw toolFailed && failure !== undefined ? toolError('tar2sqfs', args, failure, options) : error;
  } finally {
    signal?.removeEventListener('abort', abort);
  }
  const failure = await ended;
  if (failure !== undefined) throw toolError('tar2sqfs', args, failure, options);
}

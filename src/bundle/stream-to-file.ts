import { createWriteStream } from 'node:fs';
import { pipeline } from 'node:stream/promises';

type Streams = [NodeJS.ReadableStream, ...NodeJS.ReadWriteStream[]];

/**
 * Streams into a new file and syncs it. When the promise settles, the file is closed: a pipeline alone rejects at once when aborted,
 * while the file may still be about to be created, and would outlive its removal.
 */
export async function streamToFile(
  streams: Streams,
  file: string,
  { mode, signal }: { mode: number; signal?: AbortSignal | undefined },
): Promise<void> {
  const target = createWriteStream(file, { flags: 'wx', mode, flush: true });
  const closed = new Promise<void>((resolve) => target.once('close', () => resolve()));
  try {
    await pipeline([...streams, target], signal === undefined ? {} : { signal });
  } finally {
    target.destroy();
    await closed;
  }
}

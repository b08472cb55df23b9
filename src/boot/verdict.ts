import { open } from 'node:fs/promises';
import { z } from 'zod';
import { hasCode } from '../host/errors.ts';

const record = z.object({
  result: z.enum(['ok', 'failed']),
  /** Cause, as docs/troubleshooting.md numbers them; empty where all went well. */
  code: z.string().max(16),
  message: z.string().max(4096),
});

/** What the guest said of itself on the port that is for nothing else. */
export type Verdict = z.infer<typeof record>;

/** What is read of a verdict file, bytes: a guest may write as much as it likes. */
const tail = 65_536;

/** The last whole record in the file, or undefined where the guest wrote none. The guest is not trusted. */
export async function readVerdict(file: string): Promise<Verdict | undefined> {
  for (const line of (await readTail(file)).split('\n').reverse()) {
    try {
      return record.parse(JSON.parse(line));
    } catch {
      // Not a record: a cut-off line, or noise.
    }
  }
  return undefined;
}

async function readTail(path: string): Promise<string> {
  try {
    await using file = await open(path);
    const { size } = await file.stat();
    const { buffer, bytesRead } = await file.read(Buffer.alloc(tail), 0, tail, Math.max(0, size - tail));
    return buffer.toString('utf8', 0, bytesRead);
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return '';
    throw error;
  }
}

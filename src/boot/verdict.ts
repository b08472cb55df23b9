import { readFile } from 'node:fs/promises';
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

/** The last whole record in the file, or undefined where the guest wrote none. The guest is not trusted. */
export async function readVerdict(file: string): Promise<Verdict | undefined> {
  const text = await readFile(file, 'utf8').catch((error: unknown) => {
    if (hasCode(error, 'ENOENT')) return '';
    throw error;
  });
  for (const line of text.slice(-65_536).split('\n').reverse()) {
    try {
      return record.parse(JSON.parse(line));
    } catch {
      // Not a record: a cut-off line, or noise.
    }
  }
  return undefined;
}

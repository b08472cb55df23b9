import { spawnSync } from 'node:child_process';
import { join } from 'node:path';

/** What the reader in turns saw. */
export interface ReadInTurns {
  status: number;
  /** The path in the first line that says a bundle is ready. */
  bundle: string | null;
  /** Lines of standard output. */
  out: string[];
  /** Lines of standard error. */
  err: string[];
  /** How many lines had been read when `watch` was not there yet. */
  early: number;
}

export interface ReaderOptions {
  /** Milliseconds that the reader pauses after each pair of lines. */
  delay?: number;
  /** Bytes that a pipe holds; 0 for the kernel's own size. */
  pipe?: number;
  /** File that the reader makes at the first line of standard error. */
  touch?: string;
  /** A path whose coming is noted. */
  watch?: string;
  /** Milliseconds after which the reader is killed. */
  timeout?: number;
  env?: NodeJS.ProcessEnv;
  cwd?: string;
}

/** Runs a command under the reader in turns; undefined where it does not end. */
export function readInTurns(
  command: readonly string[],
  options: ReaderOptions = {},
): ReadInTurns | undefined {
  const { delay = 0, pipe = 0, touch = '-', watch = '-', timeout = 60_000, ...where } = options;
  const reader = join(import.meta.dirname, 'reader.py');
  const args = [reader, String(delay), String(pipe), touch, watch, ...command];
  const { stdout, stderr, error } = spawnSync('python3', args, {
    ...{ timeout, killSignal: 'SIGKILL', encoding: 'utf8' },
    ...where,
  });
  if ((error as NodeJS.ErrnoException | undefined)?.code === 'ETIMEDOUT') return undefined;
  if (error !== undefined) throw error;
  if (stdout === '') throw new Error(`the reader failed: ${stderr}`);
  return JSON.parse(stdout);
}

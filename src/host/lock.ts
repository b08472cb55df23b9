import type { ResultPromise } from 'execa';
import { UserError } from './errors.ts';
import { start, toolError } from './run.ts';

/** An exclusive lock that is held until it is released or this process ends, however it ends. */
export interface FileLock extends AsyncDisposable {
  /** Absolute path of the locked file. */
  readonly path: string;
  /**
   * Gives the lock up and waits until the kernel has dropped it. Doing so twice is harmless.
   * @throws UserError where the lock was lost before, because somebody killed its holder.
   */
  release(): Promise<void>;
}

export interface LockOptions {
  /** Stops waiting for the lock. A lock that is already held is not affected by it. */
  signal?: AbortSignal | undefined;
  /** How long to wait for the present holder, in milliseconds. */
  timeoutMs?: number;
}

/**
 * Locks a file, made where it is missing, against every other process that locks it in this way.
 *
 * Node has no file locks, so the holder is a child: flock(1) opens and locks the file and becomes
 * `cat`, which keeps the descriptor until its standard input ends. The pipe to that input ends with
 * this process, even by SIGKILL, so no lock outlives its owner and none has to be broken by age.
 * The child has a session of its own: Ctrl-C on the terminal must not take the lock away while the
 * owner is still cleaning up.
 * @throws UserError where the file cannot be opened or the wait is too long; the signal's reason on abort.
 */
export async function lockFile(path: string, options: LockOptions = {}): Promise<FileLock> {
  const { signal, timeoutMs = 60_000 } = options;
  signal?.throwIfAborted();
  const args = ['--exclusive', '--no-fork', path, 'cat'];
  const holder = start('flock', args, {}, { stdin: 'pipe', detached: true, reject: false });
  await waitUntilHeld(holder, path, args, timeoutMs, signal);
  let releasing: Promise<void> | undefined;
  const release = () => (releasing ??= letGo(holder, path));
  return { path, release, [Symbol.asyncDispose]: release };
}

/** `cat` repeats the byte it is sent, and it runs only once flock holds the lock. */
async function waitUntilHeld(
  holder: ResultPromise,
  path: string,
  args: string[],
  timeoutMs: number,
  signal: AbortSignal | undefined,
): Promise<void> {
  const waiting = new AbortController();
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const timer = setTimeout(() => {
    const cause = `another process has held it for ${Math.round(timeoutMs / 1000)} s`;
    reject(new UserError(`cannot lock ${path}: ${cause}`, { hint: `fuser -v ${path} shows which` }));
  }, timeoutMs);
  signal?.addEventListener('abort', () => reject(signal.reason), { signal: waiting.signal });
  holder.stdout?.once('data', () => resolve());
  holder.stdin?.on('error', () => {}); // EPIPE: the exit status below says why
  holder.stdin?.write('\n');
  void holder.then((result) => reject(toolError('flock', args, result, { hint: `cannot lock ${path}` })));
  try {
    await promise;
  } catch (error) {
    holder.kill('SIGKILL');
    await holder;
    throw error;
  } finally {
    clearTimeout(timer);
    waiting.abort();
  }
}

async function letGo(holder: ResultPromise, path: string): Promise<void> {
  const lost = holder.exitCode !== null || holder.signalCode !== null;
  holder.stdin?.end();
  await holder;
  if (lost) throw new UserError(`cannot keep ${path} locked: the process that held the lock was ended`);
}

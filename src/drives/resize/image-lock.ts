import { UserError } from '../../host/errors.ts';
import { start, toolError } from '../../host/run.ts';

const lockPattern = /Failed to get "?(?:shared )?"?(?:write|consistent read|resize)"? ?"?lock/;

/** True where a tool of QEMU could not open an image because another one has it open. */
export function saysLocked(text: string): boolean {
  return lockPattern.test(text);
}

/** What to say where a VM, or another tool, has the drive open. */
export function inUse(drive: string, cause?: unknown): UserError {
  return new UserError(`cannot resize ${drive}: a running VM or another program has it open`, {
    hint: `stop the VM first; fuser -v ${drive} shows which program it is`,
    cause,
  });
}

/**
 * Takes QEMU's image lock on a qcow2 file as a VM does that writes to it: no VM can start with it, not even read-only, until it is
 * disposed of. The holder is a qemu-io that waits for commands; its input ends with this process, even by SIGKILL, so the
 * lock never outlives us.
 * @throws UserError where somebody has the drive open, or QEMU cannot open it.
 */
export async function lockImage(drive: string, signal: AbortSignal | undefined): Promise<AsyncDisposable> {
  signal?.throwIfAborted();
  const args = ['-f', 'qcow2', drive];
  // A session of its own: Ctrl-C on the terminal must not take the lock away while we clean up.
  const holder = start('qemu-io', args, {}, { stdin: 'pipe', detached: true, reject: false });
  const { promise: held, resolve, reject } = Promise.withResolvers<void>();
  holder.stdin?.on('error', () => {}); // EPIPE: the exit status below says why
  // Answered with a line once the image is open, and open it only is under the lock.
  holder.stdin?.write('length\n');
  holder.stdout?.on('data', (chunk: Buffer) => {
    if (String(chunk).includes('\n')) resolve();
  });
  void holder.then((result) => {
    const error = toolError('qemu-io', args, result);
    reject(saysLocked(String(result.stderr)) ? inUse(drive, error) : error);
  });
  await held;
  return {
    async [Symbol.asyncDispose]() {
      holder.stdin?.end();
      await holder;
    },
  };
}

import { join } from 'node:path';
import { type FileLock, lockFile } from '../../host/lock.ts';

/**
 * Waits until no other push runs from a policy directory. Each reads the policy when it is its turn, so that
 * the last one to write holds every image, whatever order builds end in. A rebuild that keeps its id takes a turn as
 * well: it exchanges the key that a push may have planned with. The lock is not the registry's: other builds go on
 * meanwhile.
 */
export function pushTurn(policyDirectory: string, signal: AbortSignal): Promise<FileLock> {
  return lockFile(join(policyDirectory, '.cvm-push.lock'), { signal, timeoutMs: 600_000 });
}

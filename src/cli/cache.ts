import { cacheRoot } from '../build/settings.ts';
import { openCache } from '../graph/cache.ts';
import { exitStatus, UserError } from '../host/errors.ts';
import { bytesText } from '../report/text.ts';
import { wholeNumber } from './arguments.ts';

/** `cvm cache list` and `cvm cache prune`. */
export async function cacheCommand(action: string, flags: { days: string }): Promise<void> {
  const cache = openCache(await cacheRoot());
  const entries = (await cache.list()).sort((a, b) => a.lastUsed.getTime() - b.lastUsed.getTime());
  if (action === 'list') {
    for (const { kind, key, bytes, lastUsed } of entries) {
      const row = [lastUsed.toISOString().slice(0, 10), bytesText(bytes).padStart(10), kind.padEnd(10), key];
      process.stdout.write(`${row.join('  ')}\n`);
    }
    const total = entries.reduce((sum, { bytes }) => sum + bytes, 0);
    process.stdout.write(`${entries.length} entries, ${bytesText(total)}, in ${cache.root}\n`);
    return;
  }
  if (action !== 'prune') {
    throw new UserError(`cannot ${action} the cache: it is list or prune`, { status: exitStatus.usage });
  }
  const before = Date.now() - wholeNumber('--days', flags.days) * 86_400_000;
  for (const { kind, key, lastUsed } of entries) {
    if (lastUsed.getTime() < before) {
      await cache.remove(kind, key);
      process.stdout.write(`removed ${kind} ${key}\n`);
    }
  }
}

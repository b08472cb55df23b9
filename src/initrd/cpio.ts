import { createHash } from 'node:crypto';
import { chmod, lstat, lutimes, open, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { bytesOfFile, writeAll } from '../host/files.ts';
import { start, toolError } from '../host/run.ts';

/**
 * Packs a folder as a cpio archive (newc, the only form the kernel reads), compressed with zstd. Owners 0:0,
 * time stamps 0, modes normalised, entries sorted: the same files give the same bytes.
 */
export async function packCpio(
  folder: string,
  target: string,
  level: number,
  signal?: AbortSignal,
): Promise<void> {
  const names = await sortedTree(folder, '');
  for (const name of names) await normalise(join(folder, name));
  const cpioArguments = ['--create', '--format=newc', '--null', '--reproducible', '--owner=+0:+0', '--quiet'];
  const cpio = start(
    'cpio',
    cpioArguments,
    { signal, cwd: folder, input: names.map((name) => `${name}\0`).join('') },
    { buffer: { stdout: false } },
  );
  // One thread: zstd's output depends on whether it is threaded.
  const zstd = start(
    'zstd',
    ['-q', '-f', `-${level}`, '--single-thread', '-o', target],
    { signal },
    { stdin: 'pipe' },
  );
  const [packed, compressed, piped] = await Promise.allSettled([
    cpio,
    zstd,
    pipeline(cpio.stdout!, zstd.stdin!),
  ]);
  if (packed.status === 'rejected') throw toolError('cpio', cpioArguments, packed.reason, { signal });
  if (compressed.status === 'rejected') throw toolError('zstd', [target], compressed.reason, { signal });
  if (piped.status === 'rejected') throw piped.reason;
}

/** Time stamp 0; folders and programs 0755, files 0644, whatever the umask was. */
async function normalise(path: string): Promise<void> {
  const found = await lstat(path);
  if (!found.isSymbolicLink())
    await chmod(path, found.isDirectory() || (found.mode & 0o100) !== 0 ? 0o755 : 0o644);
  await lutimes(path, 0, 0);
}

/** Everything below a folder, parents before their content, in byte order. */
async function sortedTree(root: string, folder: string): Promise<string[]> {
  const names: string[] = [];
  const entries = await readdir(join(root, folder), { withFileTypes: true });
  for (const entry of entries.sort((a, b) => (a.name < b.name ? -1 : 1))) {
    const path = folder === '' ? entry.name : `${folder}/${entry.name}`;
    names.push(path);
    if (entry.isDirectory()) names.push(...(await sortedTree(root, path)));
  }
  return names;
}

/**
 * Joins archives into one initrd: the kernel unpacks one after the other, each from a 4-byte boundary.
 * The files are streamed.
 * @returns SHA-256 of each part as it was read, and of the whole, lower-case hex
 */
export async function joinArchives(
  parts: readonly string[],
  target: string,
  signal?: AbortSignal,
): Promise<{ parts: string[]; whole: string }> {
  await using file = await open(target, 'w');
  const whole = createHash('sha256');
  const digests: string[] = [];
  let at = 0;
  for (const part of parts) {
    const hash = createHash('sha256');
    for await (const bytes of bytesOfFile(part, signal)) {
      hash.update(bytes);
      whole.update(bytes);
      await writeAll(file, bytes, at);
      at += bytes.length;
    }
    digests.push(hash.digest('hex'));
    const end = Math.ceil(at / 4) * 4;
    whole.update(Buffer.alloc(end - at));
    at = end;
    await file.truncate(at);
  }
  return { parts: digests, whole: whole.digest('hex') };
}

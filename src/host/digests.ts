import { lstat, opendir } from 'node:fs/promises';
import { basename, dirname, join, relative } from 'node:path';
import { hasCode, UserError } from './errors.ts';
import { readTextFile, sha256File, writeFileAtomic } from './files.ts';

/** Name of the record: beside the files that it speaks of, in the form that sha256sum(1) reads: `<hex>  <path>`, sorted. */
export const digestsName = 'SHA256SUMS';

/** Notes the SHA-256 of every file below a folder, once: where it is noted already, that stands. */
export async function recordDigests(folder: string): Promise<void> {
  if ((await lstat(join(folder, digestsName)).catch(() => undefined)) !== undefined) return;
  const lines: string[] = [];
  for await (const entry of await opendir(folder, { recursive: true })) {
    if (!entry.isFile()) continue;
    const path = join(entry.parentPath, entry.name);
    lines.push(`${(await sha256File(path)).hex}  ${relative(folder, path)}\n`);
  }
  await writeFileAtomic(join(folder, digestsName), lines.sort().join(''), 0o600);
}

/**
 * SHA-256 of a file as {@link recordDigests} noted it, lower-case hex.
 * @throws UserError where nothing was noted
 */
export async function recordedDigest(file: string): Promise<string> {
  const record = join(dirname(file), digestsName);
  const text = await readTextFile(record).catch((error: unknown) => {
    if (hasCode(error, 'ENOENT')) return '';
    throw error;
  });
  const line = text.split('\n').find((each) => each.slice(66) === basename(file));
  if (line === undefined) throw cannotUse(file, 'its digest was never noted');
  return line.slice(0, 64);
}

/** @throws UserError where a file that was read is not the one that was noted, both SHA-256 in hex */
export function requireDigest(file: string, noted: string, read: string): void {
  if (noted !== read) throw cannotUse(file, `its SHA-256 is ${read}, and it was ${noted} when it was made`);
}

function cannotUse(file: string, cause: string): UserError {
  return new UserError(`cannot use ${file}: ${cause}`, {
    hint: `it was changed since: remove ${dirname(file)}, find out who writes there, and build again`,
  });
}

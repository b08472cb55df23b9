import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { UserError } from '../../host/errors.ts';
import { type AptSource, hostSources, PrivateApt, sourcesList } from '../apt.ts';

/**
 * The Debian archive among the host's apt sources; `work` is an empty folder.
 * @throws UserError where there is none, or where it cannot be reached.
 */
export async function debianArchive(
  work: string,
  { purpose, hint, signal }: { purpose: string; hint: string; signal?: AbortSignal | undefined },
): Promise<AptSource> {
  const found = (await hostSources(work, signal)).find(({ keyring }) => keyring.includes('debian'));
  if (found !== undefined) return found;
  throw new UserError(`cannot ${purpose}: this host has no Debian archive among its apt sources`, { hint });
}

/**
 * A private apt that knows one suite of an archive and nothing else, its lists fetched and their signatures
 * checked. The system's sources stay as they are.
 * @param folder exists and is empty
 */
export async function aptOfSuite(
  archive: AptSource,
  suite: string,
  folder: string,
  { sources = false, signal }: { sources?: boolean; signal?: AbortSignal | undefined } = {},
): Promise<{ apt: PrivateApt; list: string }> {
  const list = join(folder, 'sources.list');
  // The host's own mirror, its base suite: bookworm-security lies at another address.
  const binary = sourcesList([{ ...archive, suite, codename: suite, component: 'main' }]);
  await writeFile(list, sources ? binary.replace(/^deb /, 'deb-src ') : binary);
  const apt = await PrivateApt.open(join(folder, 'apt'), list);
  await apt.get(['update'], { signal });
  return { apt, list };
}

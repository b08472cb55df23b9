import { messageOf, UserError } from '../../host/errors.ts';
import { describeSquashfs, readSquashfsFile } from '../../host/squashfs.ts';
import { MalformedError } from '../../host/tar/bytes.ts';
import { workDirectory } from '../../host/temp.ts';
import type { Inside } from '../inside.ts';
import { extractSegment } from '../opened.ts';

const listPath = 'usr/lib/cvm/user_config.list';
const sealedPath = 'usr/lib/cvm/user_config.sealed/';

/** More than a list of as many entries as a build allows, bytes. */
const largestList = 64 * 2 ** 20;

/** Paths of the sealed files of user_config, sorted. @param site squashfs of the site layer */
export async function sealedFiles(site: string, signal?: AbortSignal): Promise<string[]> {
  return (await describeSquashfs(site, signal))
    .filter(({ type, path }) => type === 'file' && path.startsWith(sealedPath))
    .map(({ path }) => path.slice(sealedPath.length))
    .sort();
}

/**
 * The sealed list by path: its line of each entry that the plain drive is to hold. It is read off the sealed drive, of which the
 * blocks of the site layer are compared with what was sealed first.
 * @throws MalformedError where there is no reading it
 */
export async function sealedList(inside: Inside, signal?: AbortSignal): Promise<Map<string, string>> {
  const site = 'value' in inside.sealed && inside.sealed.value.segments.find(({ name }) => name === 'site');
  await using work = await workDirectory({ bytes: site ? site.bytes : 0 });
  const file = await extractSegment(inside, 'site', work.path, signal);
  let text: string;
  try {
    text = (await readSquashfsFile(file, listPath, { limit: largestList, signal })).toString('utf8');
  } catch (error) {
    signal?.throwIfAborted();
    if (error instanceof UserError) throw new MalformedError(messageOf(error));
    throw error;
  }
  const lines = text.split('\n').filter((line) => line !== '');
  return new Map(lines.map((line) => [line.split(' ').slice(3).join(' '), line]));
}

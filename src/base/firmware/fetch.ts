import { copyFile, mkdir, readdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { contentKey } from '../../graph/cache.ts';
import { messageOf, UserError } from '../../host/errors.ts';
import { run } from '../../host/run.ts';
import type { AptSource } from '../apt.ts';
import { aptOfSuite, debianArchive } from './archive.ts';
import { fileName } from './place.ts';

const packageName = 'ovmf-amdsev';

/** Debian suites that have the package, the more settled one first. Bookworm and trixie have none. */
const suites = ['forky', 'sid'];

const hint = `put the file into base_images/, or install it: apt-get install ${packageName} (Debian forky or later), ovmf (Ubuntu 25.04 or later)`;

/** Key of the fetched package's entry. */
export function fetchedKey(): string {
  return contentKey(packageName, ...suites);
}

/**
 * Fills a cache entry with the firmware of Debian's package.
 * @throws UserError where no suite has it or none can be reached.
 */
export async function fetchFirmware(
  entry: string,
  { signal, progress }: { signal?: AbortSignal | undefined; progress?: (text: string) => void },
): Promise<void> {
  const work = join(entry, 'work');
  await mkdir(work);
  const archive = await debianArchive(join(work, 'host'), { purpose: `fetch ${fileName}`, hint, signal });
  const failures: string[] = [];
  for (const suite of suites) {
    try {
      progress?.(`fetching ${packageName} from ${suite}`);
      await fetchFrom(suite, archive, join(work, suite), entry, signal);
      await rm(work, { recursive: true });
      return;
    } catch (error) {
      signal?.throwIfAborted();
      failures.push(`${suite}: ${messageOf(error)}`);
    }
  }
  throw new UserError(`cannot fetch ${fileName}: ${failures.join('; ')}`, { hint });
}

async function fetchFrom(
  suite: string,
  archive: AptSource,
  folder: string,
  entry: string,
  signal?: AbortSignal,
): Promise<void> {
  await mkdir(folder);
  const { apt } = await aptOfSuite(archive, suite, folder, { signal });
  await apt.get(['download', packageName], { signal, cwd: folder });
  const deb = (await readdir(folder)).find((name) => name.endsWith('.deb'));
  if (deb === undefined) throw new UserError(`cannot fetch ${packageName}: apt left no file`);
  await run('dpkg-deb', ['--extract', join(folder, deb), join(folder, 'files')], { signal });
  await copyFile(join(folder, 'files/usr/share/ovmf', fileName), join(entry, fileName));
  const version = await run('dpkg-deb', ['--field', join(folder, deb), 'Version'], { signal });
  await writeFile(join(entry, 'origin'), `package ${packageName} ${version.trim()} (${suite})`);
}

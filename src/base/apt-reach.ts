import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { PrivateApt } from './apt.ts';

/** A suite whose signed release file could be fetched. */
export interface ReachableSuite {
  /** `Debian`, `Ubuntu`, or who else signs it. */
  origin: string;
  codename: string;
}

/** Everything that apt would fetch besides the signed release files. */
const nothingElse = [
  'Packages',
  'Translations',
  'DEP-11',
  'DEP-11-icons-small',
  'DEP-11-icons',
  'CNF',
  'Contents-deb',
]
  .map((target) => `Acquire::IndexTargets::deb::${target}::DefaultEnabled=false`)
  .concat(
    'Acquire::Languages=none',
    'Acquire::Retries=0',
    'Acquire::http::Timeout=10',
    'APT::Update::Error-Mode=any',
  );

/**
 * Fetches the release files of the host's apt sources, a few hundred KiB, by way of its own proxies, and checks their
 * signatures and dates.
 * @param folder empty and private; gets apt's state
 * @throws UserError where one of them cannot be fetched or is not signed by a key that the host trusts.
 */
export async function reachableSuites(folder: string, signal?: AbortSignal): Promise<ReachableSuite[]> {
  const apt = await PrivateApt.open(folder);
  await apt.get([...nothingElse.flatMap((option) => ['-o', option]), 'update'], {
    signal,
    hint: 'look into /etc/apt/sources.list*, and at the network',
  });
  const lists = join(folder, 'lists');
  const names = (await readdir(lists)).filter((name) => /_(?:In)?Release$/.test(name));
  const texts = await Promise.all(names.map((name) => readFile(join(lists, name), 'utf8')));
  const field = (text: string, name: string) => new RegExp(`^${name}: (.+)$`, 'm').exec(text)?.[1] ?? '';
  return texts.map((text) => ({ origin: field(text, 'Origin'), codename: field(text, 'Codename') }));
}

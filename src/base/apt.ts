import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { UserError } from '../host/errors.ts';
import { type RunOptions, run } from '../host/run.ts';

/** Keyrings that Debian's and Ubuntu's own packages install, by the `Origin` of a release file. */
const keyrings: Record<string, string> = {
  Debian: '/usr/share/keyrings/debian-archive-keyring.gpg',
  Ubuntu: '/usr/share/keyrings/ubuntu-archive-keyring.gpg',
};

/** Whatever the host's apt.conf allows, nothing unsigned is used. */
export const signaturesRequired = [
  ['APT::Get::AllowUnauthenticated', 'false'],
  ['Acquire::AllowInsecureRepositories', 'false'],
  ['Acquire::AllowWeakRepositories', 'false'],
  ['Acquire::AllowDowngradeToInsecureRepositories', 'false'],
] as const;

/** One suite of a package archive, as the host's own apt knows it. */
export interface AptSource {
  uri: string;
  suite: string;
  codename: string;
  component: string;
  keyring: string;
}

/**
 * apt with state of its own in `folder`: the system's lists, caches and locks are neither needed nor touched,
 * so an ordinary account can use it. Signatures are always checked.
 */
export class PrivateApt {
  /** Folder with the package lists that were read. */
  readonly lists: string;
  /** Folder that fetched packages come to lie in. */
  readonly archives: string;
  readonly #options: string[];

  private constructor(folder: string, extra: string[]) {
    this.lists = join(folder, 'lists');
    this.archives = join(folder, 'cache/archives');
    this.#options = [
      ['Dir::State', join(folder, 'state')],
      ['Dir::State::lists', join(folder, 'lists')],
      ['Dir::Cache', join(folder, 'cache')],
      ['APT::Sandbox::User', 'root'],
      ['Acquire::Retries', '3'],
      ...signaturesRequired,
      ['Acquire::IndexTargets::deb::DEP-11::DefaultEnabled', 'false'],
      ['Acquire::Languages', 'none'],
      // A host may have i386 as well, whose essential packages would come along.
      ['APT::Architecture', 'amd64'],
      ['APT::Architectures', 'amd64'],
    ]
      .map(([name, value]) => `${name}=${value}`)
      .concat(extra)
      .flatMap((option) => ['-o', option]);
  }

  /** `sourcesFile` replaces the host's sources. */
  static async open(folder: string, sourcesFile?: string): Promise<PrivateApt> {
    for (const name of ['state', 'lists/partial', 'cache/archives/partial']) {
      await mkdir(join(folder, name), { recursive: true, mode: 0o700 });
    }
    return new PrivateApt(
      folder,
      sourcesFile === undefined
        ? []
        : [`Dir::Etc::SourceList=${sourcesFile}`, 'Dir::Etc::SourceParts=/dev/null'],
    );
  }

  /** Runs an apt-get verb and returns its standard output. */
  async get(args: string[], options: RunOptions = {}): Promise<string> {
    return run('apt-get', [...this.#options, '-q', ...args], options);
  }
}

/**
 * The host's own Debian or Ubuntu sources, third-party ones left out. Each comes with the distribution's own keyring,
 * by which it is verified when it is used; that the host trusts it says nothing (`[trusted=yes]` does, too).
 * @throws UserError where the host has none that apt trusts.
 */
export async function hostSources(folder: string, signal?: AbortSignal): Promise<AptSource[]> {
  const apt = await PrivateApt.open(folder);
  await apt.get(['update'], {
    signal,
    hint: 'the base is built from the packages of /etc/apt/sources.list*',
  });
  const format = '$(REPO_URI)|$(RELEASE)|$(CODENAME)|$(COMPONENT)|$(ORIGIN)|$(TRUSTED)';
  const lines = await apt.get(['indextargets', '--format', format, 'Created-By: Packages'], { signal });
  const sources = lines.split('\n').flatMap((line): AptSource[] => {
    const [uri = '', suite = '', codename = '', component = '', origin = '', trusted] = line.split('|');
    const keyring = keyrings[origin];
    return keyring === undefined || trusted !== 'yes' ? [] : [{ uri, suite, codename, component, keyring }];
  });
  if (sources.length === 0) {
    throw new UserError("cannot use the host's apt sources: they hold no Debian or Ubuntu archive", {
      hint: 'the base is built on Debian or Ubuntu, from the packages of /etc/apt/sources.list*',
    });
  }
  return sources;
}

/** The sources as lines of a sources.list. */
export function sourcesList(sources: AptSource[]): string {
  return sources
    .map(({ uri, suite, component, keyring }) => `deb [signed-by=${keyring}] ${uri} ${suite} ${component}\n`)
    .join('');
}

import { join } from 'node:path';
import { pathExists } from 'fs-extra/esm';
import { UserError } from '../../host/errors.ts';
import { type AptSource, hostSources } from '../apt.ts';
import { archives, type Distribution, distributionOfKeyring, knownSuites } from './suites.ts';

/** Which suite, and where it is fetched from. */
export interface SuiteChoice {
  suite: string;
  /** Archive in place of the host's sources and of the distribution's own. */
  mirror?: string | undefined;
  /** The same for the security updates. */
  securityMirror?: string | undefined;
}

export interface SuiteSources {
  distribution: Distribution;
  sources: AptSource[];
}

/**
 * Finds the archives of a suite: `mirror` where it is given, else the host's own apt sources where they have the
 * suite, else the distribution's public archive. All are verified by the distribution's own keyring.
 * @param folder for the state of a private apt
 * @throws UserError where the suite is not known or its keyring is not installed.
 */
export async function suiteSources(
  { suite, mirror, securityMirror }: SuiteChoice,
  folder: string,
  { signal, keyrings = '/usr/share/keyrings' }: { signal?: AbortSignal | undefined; keyrings?: string } = {},
): Promise<SuiteSources> {
  const distribution = knownSuites[suite];
  const own = mirror === undefined ? await hostSources(folder, signal) : [];
  const found = ofSuite(own, suite);
  if (found.length > 0) {
    return { distribution: distributionOfKeyring(found[0]!.keyring), sources: found };
  }
  if (distribution === undefined) {
    const here = [...new Set([...Object.keys(knownSuites), ...own.map(({ codename }) => codename)])];
    throw new UserError(`cannot build the base: the suite ${suite} is not known`, {
      hint: `known are ${here.join(', ')}; any other must be among the host's apt sources`,
    });
  }
  const archive = archives[distribution];
  const keyring = join(keyrings, archive.keyring);
  await requireKeyring(keyring, suite, archive.keyringPackage);
  const main = mirror ?? archive.mirror;
  const places = [
    [main, suite],
    [main, `${suite}-updates`],
    [securityMirror ?? archive.securityMirror, `${suite}-security`],
  ] as const;
  const sources = places.flatMap(([uri, pocket]) =>
    archive.components.map((component) => ({ uri, suite: pocket, codename: pocket, component, keyring })),
  );
  return { distribution, sources };
}

/**
 * Those of the host's sources that are the suite, its updates or its security updates. Ubuntu gives all of a suite's
 * archives the suite's codename, the one of proposed updates too, which FLARE's guide adds to a host; Debian gives each its own.
 */
export function ofSuite(sources: readonly AptSource[], suite: string): AptSource[] {
  const codenames = [suite, `${suite}-updates`, `${suite}-security`];
  return sources.filter(
    (source) => codenames.includes(source.codename) && !/-(?:proposed|backports)\b/.test(source.suite),
  );
}

/** @throws UserError naming the package where a keyring is not installed: nothing unverified is used. */
export async function requireKeyring(file: string, what: string, packageName: string): Promise<void> {
  if (await pathExists(file)) return;
  throw new UserError(`cannot verify packages of ${what}: there is no ${file}`, {
    hint: `install it (${packageName}), or copy that file from a machine that you trust`,
  });
}

import { UserError } from '../../host/errors.ts';
import type { Base } from '../base.ts';
import { type BaseReport, inspectBase, type Missing } from './inspect.ts';
import type { Need } from './programs.ts';

export interface RequireOptions {
  /** What the bundle is for, besides booting. */
  needs?: readonly Need[];
  signal?: AbortSignal | undefined;
}

/**
 * Makes sure that a bundle of this base boots.
 * @throws UserError naming everything that is missing, and the packages that bring it.
 */
export async function requireBase(
  base: Pick<Base, 'squashfs' | 'origin'>,
  { needs = [], signal }: RequireOptions = {},
): Promise<BaseReport> {
  const report = await inspectBase(base.squashfs, { signal, missingOnly: true });
  const missing = report.missing.filter(({ need }) => need === 'boot' || needs.includes(need));
  if (missing.length === 0) return report;
  throw new UserError(
    `cannot use the base (${base.origin}): it lacks ${missing.length === 1 ? 'something' : `${missing.length} things`} that the CVM needs`,
    { details: missing.map(missingLine), hint: remedy({ ...report, missing }) },
  );
}

/** `/usr/bin/crun: runs the workload`. */
export function missingLine({ what, why }: Missing): string {
  return `${what}: ${why}`;
}

/** Packages that bring what is missing, sorted, each once. */
export function packagesOf(missing: readonly Missing[]): string[] {
  return [...new Set(missing.flatMap((item) => item.package ?? []))].sort();
}

/** What to do about what is missing, in one line. */
export function remedy({ distribution, missing }: Pick<BaseReport, 'distribution' | 'missing'>): string {
  const packages = packagesOf(missing);
  if (packages.length === 0)
    return 'no package mends this: take an image of Debian 12 or Ubuntu 24.04, or later';
  if (distribution.family === undefined) {
    return `install what is missing in ${distribution.name}; on Debian it would be: apt-get install ${packages.join(' ')}`;
  }
  return `in the image: apt-get install ${packages.join(' ')}; or let \`cvm base complete\` add them`;
}

/** What a base is, by its os-release. */
export interface Distribution {
  /** `ID`: debian, ubuntu, fedora …; `unknown` without an os-release. */
  id: string;
  /** `PRETTY_NAME`, for people. */
  name: string;
  /** Whose package names hold, by `ID` and `ID_LIKE`; undefined where packages are not apt's. */
  family: 'debian' | 'ubuntu' | undefined;
}

/** Reads os-release(5). */
export function parseOsRelease(text: string): Distribution {
  const value = (key: string) =>
    new RegExp(`^${key}=(?:"([^"]*)"|'([^']*)'|(\\S*))$`, 'm')
      .exec(text)
      ?.slice(1)
      .find((found) => found !== undefined);
  const id = value('ID') || 'unknown';
  const relatives = [id, ...(value('ID_LIKE') ?? '').split(/\s+/)];
  const family = (['ubuntu', 'debian'] as const).find((name) => relatives.includes(name));
  return { id, name: value('PRETTY_NAME') || value('NAME') || id, family };
}

/** The stand-in in our lists for the kernel's package, whose name differs. */
export const kernelPackage = 'kernel';

/**
 * The package's name in a distribution. Ubuntu's linux-image-generic brings linux-modules-extra, where sev-guest and
 * dm-integrity lie; linux-image-virtual does not.
 */
export function packageName(name: string, { family }: Distribution): string {
  if (name !== kernelPackage) return name;
  return family === 'ubuntu' ? 'linux-image-generic' : 'linux-image-amd64';
}

/** Versions of the installed packages by name, from dpkg's status file. */
export function parseDpkgStatus(text: string): Map<string, string> {
  const versions = new Map<string, string>();
  for (const paragraph of text.split(/\n\n+/)) {
    const field = (name: string) => new RegExp(`^${name}: (.*)$`, 'm').exec(paragraph)?.[1];
    const name = field('Package');
    const version = field('Version');
    if (name === undefined || version === undefined) continue;
    if (/ installed$/.test(field('Status') ?? '')) versions.set(name, version);
  }
  return versions;
}

/** True where a package's version begins with numbers at or after the minimum's; epoch and revision are left out. */
export function isAtLeast(version: string, minimum: string): boolean {
  const numbers = (text: string) =>
    (/^(?:\d+:)?(\d+(?:\.\d+)*)/.exec(text)?.[1] ?? '0').split('.').map(Number);
  const [have, want] = [numbers(version), numbers(minimum)];
  for (let index = 0; index < want.length; index++) {
    const difference = (have[index] ?? 0) - want[index]!;
    if (difference !== 0) return difference > 0;
  }
  return true;
}

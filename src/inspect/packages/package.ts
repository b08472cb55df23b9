/** An installed package, as a package database names it. */
export interface InstalledPackage {
  /** Database it stands in; the type of its package URL. */
  type: 'deb' | 'apk';
  name: string;
  version: string;
  /** Absent where the database does not say. */
  architecture?: string;
  /** Source package, where it has another name. */
  source?: string;
}

/** Fields of deb822(5) paragraphs that are asked for; continuation lines are skipped. */
function fieldsOf(paragraph: string, separator: RegExp): Map<string, string> {
  const fields = new Map<string, string>();
  for (const line of paragraph.split('\n')) {
    const [, name, value] = separator.exec(line) ?? [];
    if (name !== undefined && !fields.has(name)) fields.set(name, value!.trim());
  }
  return fields;
}

/** Packages of a dpkg database, installed ones alone. @param status text of /var/lib/dpkg/status, or of files of status.d */
export function dpkgPackages(status: string): InstalledPackage[] {
  return status.split(/\n\n+/).flatMap((paragraph): InstalledPackage[] => {
    const fields = fieldsOf(paragraph, /^([A-Za-z][A-Za-z0-9-]*): *(.*)$/);
    const [name, version, state] = [fields.get('Package'), fields.get('Version'), fields.get('Status')];
    // Files of status.d, which "distroless" images have, hold no status.
    if (!name || !version || (state !== undefined && !/ installed$/.test(state))) return [];
    const architecture = fields.get('Architecture');
    // `glibc (2.36-9)`. No pattern: a field of many megabytes must not take a time of its square.
    const source = fields.get('Source')?.split(' (', 1)[0];
    return [
      {
        type: 'deb',
        name,
        version,
        ...(architecture ? { architecture } : {}),
        ...(source && source !== name ? { source } : {}),
      },
    ];
  });
}

/** Packages of an apk database. @param installed text of /lib/apk/db/installed (apk-package(5): `P:`, `V:`, `A:`, `o:`) */
export function apkPackages(installed: string): InstalledPackage[] {
  return installed.split(/\n\n+/).flatMap((paragraph): InstalledPackage[] => {
    const fields = fieldsOf(paragraph, /^([A-Za-z]):(.*)$/);
    const [name, version, architecture, source] = ['P', 'V', 'A', 'o'].map((field) => fields.get(field));
    if (!name || !version) return [];
    return [
      {
        type: 'apk',
        name,
        version,
        ...(architecture ? { architecture } : {}),
        ...(source && source !== name ? { source } : {}),
      },
    ];
  });
}

/** Packages of a base's packages.tsv: name, version, architecture, source package, version of that. */
export function listedPackages(tsv: string): InstalledPackage[] {
  return tsv.split('\n').flatMap((line): InstalledPackage[] => {
    const [name, version, architecture, source] = line.split('\t');
    if (!name || !version) return [];
    return [
      {
        type: 'deb',
        name,
        version,
        ...(architecture ? { architecture } : {}),
        ...(source && source !== name ? { source } : {}),
      },
    ];
  });
}

/** `ID` and `VERSION_ID` of os-release(5), such as `debian` and `12`. */
export function distributionOf(osRelease: string): { id: string; version: string | undefined } | undefined {
  const field = (name: string) =>
    new RegExp(`^${name}=["']?([A-Za-z0-9._-]+)["']?$`, 'm').exec(osRelease)?.[1];
  const id = field('ID');
  return id === undefined ? undefined : { id, version: field('VERSION_ID') };
}

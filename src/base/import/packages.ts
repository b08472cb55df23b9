/**
 * Names and versions of installed packages, `name<TAB>version` a line, sorted by bytes.
 * @param status text of /var/lib/dpkg/status (deb822(5))
 */
export function packageList(status: string): string {
  const lines = status.split(/\n\n+/).flatMap((paragraph) => {
    const field = (name: string) => new RegExp(`^${name}: *(\\S.*)$`, 'm').exec(paragraph)?.[1];
    const name = field('Package');
    const version = field('Version');
    const installed = field('Status')?.endsWith(' installed');
    return installed && name !== undefined && version !== undefined ? [`${name}\t${version}\n`] : [];
  });
  return lines.sort().join('');
}

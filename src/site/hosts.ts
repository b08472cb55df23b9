/** /etc/hosts of the CVM and of the container: loopback, then `hosts_entries` (name -> address). */
export function hostsFile(name: string, entries: Readonly<Record<string, string>>): string {
  const lines = ['127.0.0.1 localhost', '::1 localhost ip6-localhost ip6-loopback', `127.0.1.1 ${name}`];
  for (const [host, address] of Object.entries(entries)) lines.push(`${address} ${host}`);
  return `${lines.join('\n')}\n`;
}

/** A host name (RFC 1123 label) made from a site's name. */
export function hostName(site: string): string {
  const label = site
    .toLowerCase()
    .replaceAll(/[^a-z0-9-]+/g, '-')
    .replace(/^-+/, '')
    .slice(0, 63)
    .replace(/-+$/, '');
  return label === '' ? 'cvm' : label;
}

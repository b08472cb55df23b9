import { isIP } from 'node:net';
import { readTemplate } from '../host/template.ts';

export interface FirewallSettings {
  /** TCP ports open to the outside. */
  allowedPorts: readonly number[];
  /** TCP ports that the CVM may connect to. */
  allowedOutPorts: readonly number[];
  /** Address of the key broker; its port is opened, and only towards it where its IP address is known. */
  kbsUrl: string;
  /** Names with their IP addresses, as in `hosts_entries`. */
  hosts?: Readonly<Record<string, string>>;
}

/** Rules of nft(8), loaded by InitApp before the network is up. */
export async function firewallRules(settings: FirewallSettings): Promise<string> {
  const text = await readTemplate('site/firewall.nft');
  const input =
    settings.allowedPorts.length === 0 ? [] : [`tcp dport ${portSet(settings.allowedPorts)} accept`];
  const output =
    settings.allowedOutPorts.length === 0 ? [] : [`tcp dport ${portSet(settings.allowedOutPorts)} accept`];
  return text
    .replace('@INPUT_RULES@', block(input))
    .replace('@OUTPUT_RULES@', block([...output, kbsRule(settings)]));
}

function portSet(ports: readonly number[]): string {
  return `{ ${[...new Set(ports)].sort((a, b) => a - b).join(', ')} }`;
}

function kbsRule({ kbsUrl, hosts = {} }: FirewallSettings): string {
  const url = new URL(kbsUrl);
  const port = url.port === '' ? (url.protocol === 'http:' ? 80 : 443) : Number(url.port);
  const name = url.hostname.replace(/^\[|\]$/g, '');
  // The CVM looks a name up in its own hosts file first, where the first line that holds it counts.
  const entry = Object.entries(hosts).find(([host]) => host.toLowerCase() === name);
  const address = entry?.[1] ?? name;
  const version = isIP(address);
  const towards = version === 0 ? '' : `${version === 4 ? 'ip' : 'ip6'} daddr ${address} `;
  return `${towards}tcp dport ${port} accept`;
}

function block(rules: string[]): string {
  return rules.map((rule) => `\t\t${rule}`).join('\n');
}

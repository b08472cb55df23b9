import { readTemplate } from '../host/template.ts';

export interface FirewallSettings {
  /** TCP ports open to the outside. */
  allowedPorts: readonly number[];
  /** TCP ports that the CVM may connect to. */
  allowedOutPorts: readonly number[];
  /** Address of the key broker; its port is opened, and only towards it where it is an IP address. */
  kbsUrl: string;
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
    .replace('@OUTPUT_RULES@', block([...output, kbsRule(settings.kbsUrl)]));
}

function portSet(ports: readonly number[]): string {
  return `{ ${[...new Set(ports)].sort((a, b) => a - b).join(', ')} }`;
}

function kbsRule(address: string): string {
  const url = new URL(address);
  const port = url.port === '' ? (url.protocol === 'http:' ? 80 : 443) : Number(url.port);
  if (/^\d+(\.\d+){3}$/.test(url.hostname)) return `ip daddr ${url.hostname} tcp dport ${port} accept`;
  if (url.hostname.startsWith('[')) return `ip6 daddr ${url.hostname.slice(1, -1)} tcp dport ${port} accept`;
  return `tcp dport ${port} accept`;
}

function block(rules: string[]): string {
  return rules.map((rule) => `\t\t${rule}`).join('\n');
}

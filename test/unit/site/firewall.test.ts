import { describe, expect, it } from 'vitest';
import { firewallRules } from '../../../src/site/firewall.ts';

const kbsUrl = 'https://192.0.2.7:8999';
const rules = (more: Partial<Parameters<typeof firewallRules>[0]> = {}) =>
  firewallRules({ allowedPorts: [], allowedOutPorts: [], kbsUrl, ...more });

/** Statements of one chain, without comments and blanks at the ends. */
function chain(text: string, name: string): string[] {
  const body = new RegExp(`chain ${name} \\{\\n([\\s\\S]*?)\\n\\t\\}`).exec(text)?.[1] ?? '';
  return body
    .split('\n')
    .map((line) => line.replace(/#.*/, '').trim())
    .filter((line) => line !== '');
}

/** What is accepted in every CVM: loopback, answers, address configuration, name resolution. */
const always = {
  input: [
    'iif lo accept',
    'ct state established,related accept',
    'icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert, nd-router-advert } accept',
  ],
  output: [
    'oif lo accept',
    'ct state established,related accept',
    'icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert, nd-router-solicit } accept',
    'ip daddr @resolvers udp dport 53 accept',
    'ip daddr @resolvers tcp dport 53 accept',
  ],
};
const kbsRule = 'ip daddr 192.0.2.7 tcp dport 8999 accept';
const accepts = (text: string, name: string) => chain(text, name).filter((line) => /\baccept$/.test(line));

describe('firewallRules', () => {
  it('drops by default in every direction', async () => {
    const text = await rules();
    for (const name of ['input', 'output', 'forward'])
      expect(chain(text, name)[0]).toBe(`type filter hook ${name} priority filter; policy drop;`);
    expect(text.match(/policy accept/)).toBeNull();
    expect(chain(text, 'forward')).toHaveLength(1);
  });

  it('without allowed ports accepts nothing but the common rules and the key broker', async () => {
    const text = await rules();
    expect(accepts(text, 'input')).toEqual(always.input);
    expect(accepts(text, 'output')).toEqual([...always.output, kbsRule]);
  });

  it('opens the allowed ports, each way its own, sorted and each once', async () => {
    const text = await rules({ allowedPorts: [8002, 443, 8002], allowedOutPorts: [2049] });
    expect(accepts(text, 'input')).toEqual([...always.input, 'tcp dport { 443, 8002 } accept']);
    expect(accepts(text, 'output')).toEqual([...always.output, 'tcp dport { 2049 } accept', kbsRule]);
  });

  it.each([
    ['an IPv4 address', 'https://10.0.2.100:8999', 'ip daddr 10.0.2.100 tcp dport 8999 accept'],
    ['an IPv6 address', 'https://[2001:db8::7]:8999', 'ip6 daddr 2001:db8::7 tcp dport 8999 accept'],
    ['a name', 'https://kbs.example.org:8999/kbs', 'tcp dport 8999 accept'],
    ['https without port', 'https://kbs.example.org', 'tcp dport 443 accept'],
    ['http without port', 'http://kbs.example.org/', 'tcp dport 80 accept'],
    ['a name that only begins like an address', 'https://10.0.2.100.example.org:1', 'tcp dport 1 accept'],
  ])('opens the way to a key broker by %s', async (_, url, rule) => {
    const text = await rules({ kbsUrl: url });
    expect(accepts(text, 'output').slice(always.output.length)).toEqual([rule]);
    expect(accepts(text, 'input')).toEqual(always.input);
  });

  it.each([
    ['IPv4', { 'KBS.example.org': '192.0.2.9' }, 'ip daddr 192.0.2.9 tcp dport 8999 accept'],
    ['IPv6', { 'kbs.example.org': '2001:db8::9' }, 'ip6 daddr 2001:db8::9 tcp dport 8999 accept'],
    ['another name', { 'kbs.example.com': '192.0.2.9' }, 'tcp dport 8999 accept'],
  ])('opens the way to the address that hosts_entries give the key broker: %s', async (_, hosts, rule) => {
    const text = await rules({
      kbsUrl: 'https://kbs.example.org:8999',
      hosts: hosts as Record<string, string>,
    });
    expect(accepts(text, 'output').slice(always.output.length)).toEqual([rule]);
  });

  it('begins by flushing, fills every placeholder, and holds statements of one line only', async () => {
    const text = await rules({ allowedPorts: [1], allowedOutPorts: [65_535] });
    expect(text.replace(/^#.*\n/gm, '').trimStart()).toMatch(/^flush ruleset\n/);
    expect(text).not.toMatch(/@[A-Z_]+@/);
    expect(text.match(/^table /gm)).toHaveLength(1);
  });
});

import { spawnSync } from 'node:child_process';
import { beforeAll, describe, expect, it } from 'vitest';
import { shellQuote, templatePath } from '../../../src/host/template.ts';
import { which } from '../../../src/host/tools.ts';
import { firewallRules } from '../../../src/site/index.ts';

/** What udhcpc hands to its script as variables, and the event it calls it for. */
type Answer = Readonly<Record<string, string>> & { event?: string };

const good = { ip: '10.0.2.15', subnet: '255.255.255.0', router: '10.0.2.2', dns: '10.0.2.3' };
const hostile = [
  '$(touch /run/ran)',
  '`touch /run/ran`',
  '; touch /run/ran',
  '*',
  '-h',
  '10.0.2.9\ntouch /run/ran',
  ' ',
  '../../etc',
];

let firewall: string;
beforeAll(async () => {
  firewall = await firewallRules({ allowedPorts: [], allowedOutPorts: [], kbsUrl: 'https://192.0.2.7' });
});

/** In name spaces of its own, where nothing of this machine is touched. */
function inRoom(script: string) {
  return spawnSync('unshare', ['--user', '--map-root-user', '--net', '--mount', 'sh', '-s'], {
    input: script,
    encoding: 'utf8',
  });
}

/**
 * Runs dhcp.sh for the answers of a DHCP server, one after the other, beside the CVM's own firewall. The loopback interface
 * plays the network card.
 * @returns lines `status`, `address`, `gateway`, `resolver` (in the firewall's set), `conf` (of resolv.conf), `chosen`
 */
function dhcp(shell: readonly string[], ...answers: Answer[]): string[] {
  const calls = answers.map(({ event = 'bound', ...values }) => {
    const variables = Object.entries({ interface: 'lo', ...values }).map(
      ([name, value]) => `${name}=${value}`,
    );
    const words = ['env', ...variables, ...shell, templatePath('initrd/lib/dhcp.sh'), event];
    return `${words.map(shellQuote).join(' ')} 2> /dev/null; echo "status $?"`;
  });
  const { stdout, stderr, status } = inRoom(`
    mount -t tmpfs none /run && mkdir -p /run/cvm/etc && : > /run/cvm/etc/resolv.conf || exit 1
    ip link set lo up || exit 1
    nft -f - << 'RULES' || exit 1
${firewall}
RULES
    ${calls.join('\n')}
    ip -4 -o addr show dev lo scope global | sed -n 's/.* inet \\([^ ]*\\) .*/address \\1/p'
    ip -4 route show default | sed -n 's/^default via \\([^ ]*\\) .*/gateway \\1/p'
    nft -j list set inet cvm resolvers | grep -oE '"([0-9]+\\.){3}[0-9]+"' | tr -d '"' | sort | sed 's/^/resolver /'
    sed 's/^/conf /' /run/cvm/etc/resolv.conf
    [ ! -e /run/cvm/address ] || echo "chosen $(cat /run/cvm/address)"
    [ ! -e /run/ran ] || echo 'a word of the server was run'
    exit 0
  `);
  expect({ stderr, status }).toEqual({ stderr: '', status: 0 });
  return stdout.trimEnd().split('\n');
}

const whole = [
  ...['status 0', 'address 10.0.2.15/24', 'gateway 10.0.2.2', 'resolver 10.0.2.3'],
  ...['conf nameserver 10.0.2.3', 'chosen 10.0.2.15'],
];

// Needs nft, ip and a kernel with name spaces and nf_tables.
const usable = which('nft') !== undefined && inRoom('nft list ruleset && ip link set lo up').status === 0;

describe.skipIf(!usable).each([
  ['the initrd', ['busybox', 'sh']],
  ['the sealed system', ['sh']],
])('dhcp.sh in the shell of %s', (_, shell) => {
  it('takes address, gateway and resolvers', () => {
    expect(dhcp(shell, good)).toEqual(whole);
  });

  it('takes an address alone, with the usual mask', () => {
    expect(dhcp(shell, { ip: '192.168.1.4' })).toEqual([
      'status 0',
      'address 192.168.1.4/24',
      'chosen 192.168.1.4',
    ]);
  });

  it('refuses what is not the address of one machine', () => {
    const answers = [
      ...hostile,
      ...[
        '',
        '10.0.2',
        '10.0.2.',
        '.10.0.2.15',
        '10..2.15',
        '10.0.2.15.1',
        '10.0.2.256',
        '10.0.2.015',
        '1e1.0.0.1',
      ],
      ...[
        '0.0.0.0',
        '0.1.2.3',
        '127.0.0.1',
        '224.0.0.1',
        '255.255.255.255',
        '10.0.2.15/8',
        '99999999999.1.1.1',
      ],
    ].map((ip) => ({ ...good, ip }));
    expect(dhcp(shell, ...answers)).toEqual(answers.map(() => 'status 1'));
  });

  it('refuses what is no network mask, and masks that make neighbours of far machines', () => {
    const answers = [
      ...hostile,
      ...[
        '255.255.255',
        '255.0.255.0',
        '255.255.255.1',
        '0.0.0.0',
        '254.0.0.0',
        '24',
        '255.255.255.0.0',
        '256.0.0.0',
      ],
    ].map((subnet) => ({ ...good, subnet }));
    expect(dhcp(shell, ...answers)).toEqual(answers.map(() => 'status 1'));
  });

  it.each([
    ['255.0.0.0', 8],
    ['255.255.240.0', 20],
    ['255.255.255.254', 31],
  ])('reads the network mask %s', (subnet, length) => {
    expect(dhcp(shell, { ip: '10.0.2.15', subnet })).toContain(`address 10.0.2.15/${length}`);
  });

  it.each([...hostile, '127.0.0.1', '10.0.2.2;10.0.2.9'])('does without the gateway %j', (router) => {
    expect(dhcp(shell, { ...good, router })).toEqual(whole.filter((line) => !line.startsWith('gateway')));
  });

  it('of several gateways takes the first', () => {
    expect(dhcp(shell, { ...good, router: '10.0.2.2 $(touch /run/ran) 10.0.2.9' })).toEqual(whole);
  });

  it.each(hostile)('leaves the resolver %j out', (text) => {
    const found = dhcp(shell, { ...good, dns: `127.0.0.1 ${text} 10.0.2.3` });
    expect(found.filter((line) => !line.includes('10.0.2.9'))).toEqual(whole);
    expect(found.join('\n')).not.toMatch(/touch|was run/);
  });

  it('takes three resolvers at most, each once, and those alone may be asked', () => {
    const lines = dhcp(shell, { ...good, dns: '9.9.9.9 9.9.9.9 8.8.8.8 $(id) 1.1.1.1 10.0.2.3' });
    expect(lines.filter((line) => /^resolver|^conf/.test(line))).toEqual([
      ...['resolver 1.1.1.1', 'resolver 8.8.8.8', 'resolver 9.9.9.9'],
      ...['conf nameserver 9.9.9.9', 'conf nameserver 8.8.8.8', 'conf nameserver 1.1.1.1'],
    ]);
  });

  it('uses no name, whatever it holds', () => {
    const names = [
      'hostname',
      'domain',
      'search',
      'boot_file',
      'sname',
      'tftp',
      'message',
      'rootpath',
      'wpad',
    ];
    const answer = { ...good, ...Object.fromEntries(names.map((name) => [name, '$(touch /run/ran)'])) };
    expect(dhcp(shell, answer)).toEqual(whole);
  });

  it('takes nothing away when a lease ends, and replaces all when another begins', () => {
    expect(dhcp(shell, good, { event: 'deconfig' }, { ...good, event: 'renew' })).toEqual([
      ...['status 0', 'status 0'],
      ...whole,
    ]);
    expect(dhcp(shell, good, { ...good, ip: '10.0.2.44', dns: '10.0.2.4' })).toEqual([
      ...['status 0', 'status 0', 'address 10.0.2.44/24', 'gateway 10.0.2.2', 'resolver 10.0.2.4'],
      ...['conf nameserver 10.0.2.4', 'chosen 10.0.2.44'],
    ]);
  });

  it('leaves what was good where a later answer is not', () => {
    expect(dhcp(shell, good, { ...good, ip: '$(touch /run/ran)', dns: '6.6.6.6' })).toEqual([
      'status 0',
      'status 1',
      ...whole.slice(1),
    ]);
  });
});

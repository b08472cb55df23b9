import { spawnSync } from 'node:child_process';
import { describe, expect, it } from 'vitest';
import { which } from '../../../src/host/tools.ts';
import { firewallRules } from '../../../src/site/index.ts';

/** nft's verdict on a rule set, in a network name space of its own: nothing of this machine is touched. */
function check(rules: string) {
  const args = ['--user', '--map-root-user', '--net', which('nft') ?? 'nft', '--check', '--file', '-'];
  return spawnSync('unshare', args, { input: rules, encoding: 'utf8' });
}

// Needs nft and a kernel with nf_tables; without either there is nobody to ask.
const usable = which('nft') !== undefined && check('flush ruleset\n').status === 0;

describe.skipIf(!usable)('the firewall, as nft reads it', () => {
  it.each([
    ['nothing allowed', [], [], 'https://10.0.2.100:8999'],
    ['ports both ways', [443, 8002], [443, 2049], 'https://192.0.2.7:8999'],
    ['a key broker by IPv6', [], [443], 'https://[2001:db8::7]:8999'],
    ['a key broker by name', [8002], [], 'https://kbs.example.org'],
  ] as const)('is valid: %s', async (_, allowedPorts, allowedOutPorts, kbsUrl) => {
    const { status, stderr } = check(await firewallRules({ allowedPorts, allowedOutPorts, kbsUrl }));
    expect(stderr).toBe('');
    expect(status).toBe(0);
  });

  it('would be refused with a mistake in it', async () => {
    const text = await firewallRules({ allowedPorts: [], allowedOutPorts: [], kbsUrl: 'https://10.0.2.100' });
    expect(check(text.replace('policy drop', 'policy maybe')).status).not.toBe(0);
  });
});

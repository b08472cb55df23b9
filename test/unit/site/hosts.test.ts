import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { hostName, hostsFile } from '../../../src/site/hosts.ts';

describe('hostName', () => {
  it.each([
    ['site-1', 'site-1'],
    ['Hospital A', 'hospital-a'],
    ['admin@nvidia.com', 'admin-nvidia-com'],
    ['--x--', 'x'],
    ['日本', 'cvm'],
    ['', 'cvm'],
    ['a_b.c', 'a-b-c'],
    [`${'a'.repeat(62)}--b`, 'a'.repeat(62)],
  ])('makes of %j the label %j', (site, label) => {
    expect(hostName(site)).toBe(label);
  });

  it('is an RFC 1123 label whatever the site is called', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 200 }), (site) => {
        expect(hostName(site)).toMatch(/^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/);
      }),
    );
  });
});

describe('hostsFile', () => {
  it('begins with the loopback names, then has the entries as address and name', () => {
    expect(hostsFile('site-1', { server1: '192.0.2.10', db: '2001:db8::1' })).toBe(
      '127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n127.0.1.1 site-1\n192.0.2.10 server1\n2001:db8::1 db\n',
    );
  });

  it('has the loopback names alone where there are no entries', () => {
    expect(hostsFile('x', {}).split('\n')).toHaveLength(4);
  });
});

import { describe, expect, it } from 'vitest';
import {
  apkPackages,
  distributionOf,
  dpkgPackages,
  listedPackages,
} from '../../../src/inspect/packages/package.ts';
import { packageUrl } from '../../../src/inspect/sbom/purl.ts';
import { portsOf } from '../../../src/inspect/summary/ports.ts';
import { firewallRules } from '../../../src/site/index.ts';

describe('dpkgPackages', () => {
  it('lists what is installed, with source packages of another name', () => {
    const status = `Package: libc6
Status: install ok installed
Architecture: amd64
Source: glibc (2.36-9)
Version: 2.36-9+deb12u10
Description: a library
 Package: no field
 Version: neither

Package: gone
Status: deinstall ok config-files
Architecture: amd64
Version: 1

Package: held
Status: hold ok installed
Version: 2:1.0-1`;
    expect(dpkgPackages(status)).toEqual([
      { type: 'deb', name: 'libc6', version: '2.36-9+deb12u10', architecture: 'amd64', source: 'glibc' },
      { type: 'deb', name: 'held', version: '2:1.0-1' },
    ]);
  });

  it('takes files of status.d, which have no status', () => {
    expect(dpkgPackages('Package: base-files\nVersion: 12\n')).toMatchObject([{ name: 'base-files' }]);
  });

  it.each(['', '\n\n\n', 'no fields', 'Package: only-a-name', '\0\xff'])('finds none in %j', (text) => {
    expect(dpkgPackages(text)).toEqual([]);
  });
});

it('apkPackages lists packages with their origin', () => {
  const installed =
    'C:Q1abc\nP:libcrypto3\nV:3.3.2-r1\nA:x86_64\no:openssl\nF:lib\nR:x\n\nP:musl\nV:1.2.5-r0\nA:x86_64\no:musl\n\n';
  expect(apkPackages(installed)).toEqual([
    { type: 'apk', name: 'libcrypto3', version: '3.3.2-r1', architecture: 'x86_64', source: 'openssl' },
    { type: 'apk', name: 'musl', version: '1.2.5-r0', architecture: 'x86_64' },
  ]);
});

it("listedPackages takes a base's list, with and without its last columns", () => {
  expect(listedPackages('adduser\t3.134\napt\t2.6\tamd64\tapt\t2.6\nlibapt\t2.6\tamd64\tapt\t2.6\n')).toEqual(
    [
      { type: 'deb', name: 'adduser', version: '3.134' },
      { type: 'deb', name: 'apt', version: '2.6', architecture: 'amd64' },
      { type: 'deb', name: 'libapt', version: '2.6', architecture: 'amd64', source: 'apt' },
    ],
  );
});

it.each([
  ['ID=debian\nVERSION_ID="12"\n', { id: 'debian', version: '12' }],
  ["NAME=x\nID='alpine'\nVERSION_ID=3.20.1", { id: 'alpine', version: '3.20.1' }],
  ['ID=debian\n', { id: 'debian', version: undefined }],
  ['ID="$(x)"\n', undefined],
  ['', undefined],
])('distributionOf %j', (text, expected) => expect(distributionOf(text)).toEqual(expected));

it.each([
  [
    { type: 'deb', name: 'g++', version: '4:12.2.0-3~x', architecture: 'amd64' },
    'pkg:deb/debian/g%2B%2B@4%3A12.2.0-3~x?arch=amd64&distro=debian-12',
  ],
  [{ type: 'apk', name: 'musl', version: '1' }, 'pkg:apk/debian/musl@1?distro=debian-12'],
  [
    { type: 'deb', name: 'a/../b?c#d@e', version: '(1)' },
    'pkg:deb/debian/a%2F..%2Fb%3Fc%23d%40e@%281%29?distro=debian-12',
  ],
] as const)('packageUrl of %j', (one, expected) => {
  expect(packageUrl(one, { id: 'debian', version: '12' })).toBe(expected);
});

it.each([
  [[], []],
  [[8002], [443]],
  [
    [8003, 8002],
    [443, 2049, 111],
  ],
])('portsOf gives the ports that firewallRules was given: in %j, out %j', async (inward, outward) => {
  const rules = await firewallRules({
    allowedPorts: inward,
    allowedOutPorts: outward,
    kbsUrl: 'https://kbs.example.com:8999',
  });
  const ascending = (ports: readonly number[]) => [...ports].sort((a, b) => a - b);
  expect(portsOf(rules)).toEqual({ in: ascending(inward), out: ascending(outward) });
});

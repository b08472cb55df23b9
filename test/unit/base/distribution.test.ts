import { describe, expect, it } from 'vitest';
import {
  isAtLeast,
  kernelPackage,
  packageName,
  parseDpkgStatus,
  parseOsRelease,
} from '../../../src/base/check/distribution.ts';

describe('parseOsRelease', () => {
  it('reads Debian’s', () => {
    const text = 'PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\nNAME="Debian GNU/Linux"\nID=debian\n';
    expect(parseOsRelease(text)).toEqual({
      id: 'debian',
      name: 'Debian GNU/Linux 12 (bookworm)',
      family: 'debian',
    });
  });

  it('takes Ubuntu for Ubuntu, although it is like Debian', () => {
    expect(parseOsRelease('ID_LIKE=debian\nID=ubuntu\n').family).toBe('ubuntu');
  });

  it.each([
    ['ID=linuxmint\nID_LIKE="ubuntu debian"\n', 'ubuntu'],
    ["ID=raspbian\nID_LIKE='debian'\n", 'debian'],
    ['ID=fedora\n', undefined],
    ['ID=rocky\nID_LIKE="rhel centos fedora"\n', undefined],
    ['VARIANT_ID=debian\nID=mydebian\n', undefined],
    ['', undefined],
  ])('tells the family of %j', (text, family) => {
    expect(parseOsRelease(text).family).toBe(family);
  });

  it('has a name for what names nothing', () => {
    expect(parseOsRelease('')).toEqual({ id: 'unknown', name: 'unknown', family: undefined });
  });
});

describe('packageName', () => {
  it('knows that the kernel’s package has another name on Ubuntu', () => {
    expect(packageName(kernelPackage, parseOsRelease('ID=debian\n'))).toBe('linux-image-amd64');
    expect(packageName(kernelPackage, parseOsRelease('ID=ubuntu\n'))).toBe('linux-image-generic');
    expect(packageName('crun', parseOsRelease('ID=ubuntu\n'))).toBe('crun');
  });
});

describe('parseDpkgStatus', () => {
  it('has the installed packages, and none that was removed or is half installed', () => {
    const paragraph = (name: string, status: string) =>
      `Package: ${name}\nStatus: ${status}\nDescription: text\n Version: 9 of something\nVersion: 1:2.3-4\n`;
    const text = [
      paragraph('crun', 'install ok installed'),
      paragraph('jose', 'deinstall ok config-files'),
      paragraph('curl', 'install ok half-installed'),
      paragraph('kept', 'hold ok installed'),
    ].join('\n');
    expect([...parseDpkgStatus(text)]).toEqual([
      ['crun', '1:2.3-4'],
      ['kept', '1:2.3-4'],
    ]);
  });
});

describe('isAtLeast', () => {
  it.each([
    ['252.39-1~deb12u2', '252', true],
    ['249.11-0ubuntu3', '252', false],
    ['2:2.6.1-4', '2.4', true],
    ['2.37.2-4ubuntu3', '2.38', false],
    ['2.100', '2.38', true],
    ['6.1.0-28-amd64', '5.19', true],
    ['5.15.0-100-generic', '5.19', false],
    ['5.19', '5.19', true],
    ['5', '5.19', false],
    ['1:9', '10', false],
    ['v7', '1', false],
  ])('compares %s with %s', (version, minimum, expected) => {
    expect(isAtLeast(version, minimum)).toBe(expected);
  });
});

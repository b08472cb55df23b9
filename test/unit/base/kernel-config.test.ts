import { describe, expect, it } from 'vitest';
import {
  configNotes,
  missingOptions,
  parseKernelConfig,
  requiredOptions,
} from '../../../src/base/check/kernel-config.ts';

const whole = requiredOptions.map(({ option }) => `CONFIG_${option}=y`);
const missing = (lines: string[]) =>
  missingOptions(parseKernelConfig(lines.join('\n'))).map(({ option }) => option);
const without = (name: string) => whole.filter((line) => line !== `CONFIG_${name}=y`);

describe('parseKernelConfig', () => {
  it('has values without their quotes, and nothing that is not set', () => {
    const text =
      '#\n# Linux/x86 6.1\n#\nCONFIG_EFI=y\nCONFIG_SEV_GUEST=m\n# CONFIG_KEXEC is not set\nCONFIG_LSM="lockdown,yama"\n';
    expect([...parseKernelConfig(text)]).toEqual([
      ['EFI', 'y'],
      ['SEV_GUEST', 'm'],
      ['LSM', 'lockdown,yama'],
    ]);
  });
});

describe('missingOptions', () => {
  it('misses nothing in a kernel that has all', () => expect(missing(whole)).toEqual([]));

  it.each(requiredOptions.map(({ option }) => option))('misses %s where it is not set', (option) => {
    expect(missing([...without(option), `# CONFIG_${option} is not set`])).toEqual([option]);
  });

  it('takes a module where that will do, and not where it comes too late', () => {
    expect(missing([...without('CRYPTO_XTS'), 'CONFIG_CRYPTO_XTS=m'])).toEqual([]);
    expect(missing([...without('RD_ZSTD'), 'CONFIG_RD_ZSTD=m'])).toEqual(['RD_ZSTD']);
  });

  it('is not satisfied by a longer name', () => {
    expect(missing([...without('TMPFS_XATTR'), 'CONFIG_TMPFS_XATTR_OLD=y'])).toEqual(['TMPFS_XATTR']);
  });
});

describe('configNotes', () => {
  const notes = (...lines: string[]) => configNotes(parseKernelConfig(lines.join('\n'))).join('\n');

  it('says that lockdown is not in force where nothing starts it', () => {
    expect(notes('CONFIG_LSM="yama,apparmor"')).toContain('lockdown=integrity has no effect');
    expect(notes('CONFIG_LSM="yama,lockdown"')).toBe('');
    expect(notes('CONFIG_LSM="yama"', 'CONFIG_SECURITY_LOCKDOWN_LSM_EARLY=y')).toBe('');
  });

  it('says that the kernel does not count RDRAND, only where it could have been built to', () => {
    expect(notes('CONFIG_RANDOM_TRUST_BOOTLOADER=y')).toContain('RANDOM_TRUST_CPU');
    expect(notes('CONFIG_RANDOM_TRUST_BOOTLOADER=y', 'CONFIG_RANDOM_TRUST_CPU=y')).toBe('');
    expect(notes()).toBe('');
  });
});

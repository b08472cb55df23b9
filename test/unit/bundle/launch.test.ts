import { describe, expect, it } from 'vitest';
import { commandLine } from '../../../src/bundle/launch.ts';

const words = commandLine('0123456789ab').split(' ');

describe('commandLine', () => {
  it.each([
    ['credentials from SMBIOS and fw_cfg are not imported', 'systemd.import_credentials=no'],
    ['partition tables of the host mount nothing', 'systemd.gpt_auto=0'],
    ['the kernel is locked down', 'lockdown=integrity'],
    ['a panic restarts at once, which QEMU turns into an end', 'panic=-1'],
    ['an oops is a panic', 'oops=panic'],
    ['the boot loader is no source of entropy', 'random.trust_bootloader=off'],
    ['32-bit system calls are off', 'ia32_emulation=0'],
    ['freed memory is cleared', 'init_on_free=1'],
    ['the console is the serial port', 'console=ttyS0'],
    ['large PCI windows are laid out by the kernel', 'pci=realloc,nocrs'],
  ])('%s', (_, parameter) => {
    expect(words.filter((word) => word === parameter)).toHaveLength(1);
  });

  it('begins with the id and holds no other parameter, none twice', () => {
    expect(words[0]).toBe('vm_id=0123456789ab');
    expect(words).toHaveLength(11);
    expect(new Set(words.map((word) => word.split('=')[0])).size).toBe(words.length);
  });

  it('holds nothing that opens a shell, chooses another init, or wakes the verity generator', () => {
    expect(words.join(' ')).not.toMatch(
      /\b(rd\.break|rd\.shell|init=|single|emergency|debug_shell|roothash=|root=)/,
    );
  });

  it('is one line of printable ASCII with single blanks, and differs between ids in the id alone', () => {
    expect(commandLine('0123456789ab')).toMatch(/^[\x21-\x7e]+( [\x21-\x7e]+)*$/);
    expect(commandLine('ffffffffffff').replace('ffffffffffff', '0123456789ab')).toBe(words.join(' '));
  });
});

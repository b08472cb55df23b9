import { describe, expect, it } from 'vitest';
import { countList, hexBytes, modeOf, unsigned, vmmOf } from '../../../../src/cli/measure/flags.ts';

const usage = (option: string) =>
  expect.objectContaining({ message: expect.stringContaining(option), status: 2 });

describe('--vcpus', () => {
  it.each([
    ['4', [4]],
    ['1,2,4-8', [1, 2, 4, 5, 6, 7, 8]],
    ['8, 2', [8, 2]],
    ['2-2,1-3', [2, 1, 3]],
  ])('%j is a list of counts, each once', (text, counts) => {
    expect(countList('--vcpus', text)).toEqual(counts);
  });

  it('takes all counts there are', () => {
    expect(countList('--vcpus', '1-4096')).toHaveLength(4096);
  });

  it.each([
    '',
    '0',
    '1,',
    ',1',
    '4-2',
    '1-',
    '-1',
    '1.5',
    '0x4',
    '1-99999',
    '4097',
    '1 2',
    '1--2',
  ])('%j is refused', (text) => {
    expect(() => countList('--vcpus', text)).toThrow(usage('--vcpus'));
  });
});

describe('numbers and bytes', () => {
  it('are hexadecimal or decimal, up to their width', () => {
    expect(unsigned('--guest-features', '0x21', 64)).toBe(0x21n);
    expect(unsigned('--guest-features', '33', 64)).toBe(33n);
    expect(unsigned('--guest-features', `0x${'f'.repeat(16)}`, 64)).toBe(2n ** 64n - 1n);
    expect(hexBytes('--family-id', 'AB'.repeat(16), 16)).toEqual(Buffer.alloc(16, 0xab));
  });

  it.each([
    '',
    '-1',
    '0x',
    '1.0',
    '0x1g',
    '18446744073709551616',
    '0b1',
    '1_000',
  ])('%j is refused', (text) => {
    expect(() => unsigned('--guest-features', text, 64)).toThrow(usage('--guest-features'));
  });

  it('are refused where they are too wide or too short', () => {
    expect(() => unsigned('--guest-svn', '0x100000000', 32)).toThrow(usage('--guest-svn'));
    for (const text of ['ab'.repeat(15), 'ab'.repeat(17), 'xy'.repeat(16), `0x${'a'.repeat(30)}`]) {
      expect(() => hexBytes('--family-id', text, 16)).toThrow(usage('--family-id'));
    }
  });
});

describe('names', () => {
  it('of modes and VMMs are those of the field', () => {
    expect(modeOf('snp:ovmf-hash')).toBe('snp:ovmf-hash');
    expect(vmmOf('EC2')).toBe('ec2');
    expect(vmmOf('QEMU')).toBe('qemu');
  });

  it.each(['snp:svsm', 'SNP', 'tdx', ''])('there is no mode %j', (text) => {
    expect(() => modeOf(text)).toThrow(usage('--mode'));
  });

  it.each(['krun', '', 'toString'])('there is no VMM %j', (text) => {
    expect(() => vmmOf(text)).toThrow(usage('--vmm'));
  });
});

import { describe, expect, it } from 'vitest';
import { apVmsa, bspVmsa } from '../../../src/measure/vmsa.ts';

const qemu = { vmm: 'qemu', signature: 0x800f12, features: 0x1n } as const;

/** Offsets of the bytes in which two pages differ. */
const differences = (a: Buffer, b: Buffer) => [...a.keys()].filter((offset) => a[offset] !== b[offset]);

describe('VM save area', () => {
  it('of the boot processor starts at the reset vector', () => {
    const page = bspVmsa(qemu);
    expect(page).toHaveLength(4096);
    expect(page.readBigUInt64LE(0x018)).toBe(0xffff_0000n);
    expect(page.readBigUInt64LE(0x178)).toBe(0xfff0n);
  });

  it('of the others starts where the firmware says, and differs in nothing else', () => {
    const page = apVmsa(qemu, 0xfffe_1234);
    expect(page.readBigUInt64LE(0x018)).toBe(0xfffe_0000n);
    expect(page.readBigUInt64LE(0x178)).toBe(0x1234n);
    for (const offset of differences(page, bspVmsa(qemu))) {
      expect([0x018, 0x178].some((field) => offset >= field && offset < field + 8)).toBe(true);
    }
  });

  it('holds the signature in RDX and the features at 0x3b0, and nothing else of either', () => {
    const other = bspVmsa({ ...qemu, signature: 0xffff_ffff, features: 0x8000_0000_0000_0221n });
    expect(other.readBigUInt64LE(0x310)).toBe(0xffff_ffffn);
    expect(other.readBigUInt64LE(0x3b0)).toBe(0x8000_0000_0000_0221n);
    for (const offset of differences(other, bspVmsa(qemu))) {
      expect((offset >= 0x310 && offset < 0x318) || (offset >= 0x3b0 && offset < 0x3b8)).toBe(true);
    }
  });

  it.each(['ec2', 'gce'] as const)('of %s has its own constant in RDX and no FPU state', (vmm) => {
    const page = bspVmsa({ ...qemu, vmm });
    expect(page.readBigUInt64LE(0x310)).toBe(0x600n);
    expect(page.readUInt32LE(0x408)).toBe(0);
    expect(page.readUInt16LE(0x410)).toBe(0);
  });
});

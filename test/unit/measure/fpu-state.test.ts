import { describe, expect, it } from 'vitest';
import { type FpuState, launchDigests, parseFirmware } from '../../../src/measure/index.ts';
import { apVmsa, bspVmsa } from '../../../src/measure/vmsa.ts';
import { firmwareImage } from './firmware-image.ts';

const qemu = { vmm: 'qemu', signature: 0x800f12, features: 0x1n } as const;
const fpu = (page: Buffer) => [page.readUInt32LE(0x408), page.readUInt16LE(0x410)];
const reset = [0x1f80, 0x37f];
const zero = [0, 0];

describe('FPU state of save areas', () => {
  it.each<[FpuState | undefined, number[], number[]]>([
    [undefined, reset, reset],
    ['synced', reset, reset],
    ['zero', zero, zero],
    ['zero-on-aps', reset, zero],
  ])('%s', (fpuState, bsp, ap) => {
    expect(fpu(bspVmsa({ ...qemu, fpuState }))).toEqual(bsp);
    expect(fpu(apVmsa({ ...qemu, fpuState }, 0x80b004))).toEqual(ap);
  });

  it('is zero under EC2 and GCE whatever is asked', () => {
    for (const vmm of ['ec2', 'gce'] as const) {
      for (const fpuState of ['synced', 'zero', 'zero-on-aps'] as const) {
        expect(fpu(bspVmsa({ ...qemu, vmm, fpuState }))).toEqual(zero);
        expect(fpu(apVmsa({ ...qemu, vmm, fpuState }, 4))).toEqual(zero);
      }
    }
  });

  it('tells the APs apart only where there are some', () => {
    const firmware = parseFirmware(firmwareImage());
    const variants = [1, 2].map((vcpus) => ({ vcpus, signature: qemu.signature }));
    const digests = (fpuState: FpuState) =>
      launchDigests({ firmware, fpuState }, variants).map((digest) => digest.toString('hex'));
    const [synced, onAps, all] = [digests('synced'), digests('zero-on-aps'), digests('zero')];
    expect(onAps[0]).toBe(synced[0]);
    expect(new Set([synced[1], onAps[1], all[1]]).size).toBe(3);
    expect(all[0]).not.toBe(synced[0]);
    expect(launchDigests({ firmware }, variants).map((digest) => digest.toString('hex'))).toEqual(synced);
  });
});

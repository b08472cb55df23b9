import { describe, expect, it } from 'vitest';
import {
  type BlobHashes,
  firmwareDigest,
  type LaunchVariant,
  launchDigest,
  launchDigests,
  type MeasuredStep,
  MeasurementError,
  parseFirmware,
  sevDigest,
  sevEsDigest,
} from '../../../src/measure/index.ts';
import { firmwareImage, metadataGuid, resetBlockGuid, words } from './firmware-image.ts';
import { ovmfX64Fixture } from './vectors.ts';

const firmware = parseFirmware(firmwareImage());
const blobs: BlobHashes = {
  kernel: Buffer.alloc(32, 1),
  initrd: Buffer.alloc(32, 2),
  commandLine: Buffer.alloc(32, 3),
};
const launch = { firmware, blobs };
const epyc = 0x800f12;
const milan = 0xa00f11;

describe('launch digests', () => {
  it('of many variants are those of each alone, in the order asked', () => {
    const variants: LaunchVariant[] = [
      { vcpus: 8, signature: epyc },
      { vcpus: 1, signature: milan, features: 0x21n },
      { vcpus: 3, signature: epyc },
      { vcpus: 8, signature: epyc, features: 0x1n },
      { vcpus: 2, signature: milan },
    ];
    const together = launchDigests(launch, variants);
    expect(together).toEqual(variants.map((variant) => launchDigest(launch, variant)));
    expect(together[0]).toEqual(together[3]);
    expect(together[0]).not.toBe(together[3]);
    expect(new Set(together.map((digest) => digest.toString('hex'))).size).toBe(4);
  });

  it.each<[string, Partial<BlobHashes>]>([
    ['kernel', { kernel: Buffer.alloc(32, 9) }],
    ['initrd', { initrd: Buffer.alloc(32, 9) }],
    ['command line', { commandLine: Buffer.alloc(32, 9) }],
  ])('change with the %s', (_name, change) => {
    const variant = { vcpus: 1, signature: epyc };
    expect(launchDigest({ firmware, blobs: { ...blobs, ...change } }, variant)).not.toEqual(
      launchDigest(launch, variant),
    );
  });

  it('change with each byte of the firmware', () => {
    for (const offset of [0, 4095, 4096, 30_000, 65_535]) {
      const bytes = firmwareImage();
      bytes[offset]! ^= 1;
      const other = { firmware: parseFirmware(bytes), blobs };
      const variant = { vcpus: 1, signature: epyc };
      expect(launchDigest(other, variant)).not.toEqual(launchDigest(launch, variant));
    }
  });

  it('go on from a firmware digest as from the firmware', () => {
    const variant = { vcpus: 4, signature: epyc };
    const seeded = launchDigest({ ...launch, firmwareDigest: firmwareDigest(firmware) }, variant);
    expect(seeded).toEqual(launchDigest(launch, variant));
  });

  it('of EC2 and GCE do not depend on the signature', () => {
    for (const vmm of ['ec2', 'gce'] as const) {
      const digests = launchDigests({ ...launch, vmm }, [{ vcpus: 2 }, { vcpus: 2, signature: milan }]);
      expect(digests[0]).toEqual(digests[1]);
    }
  });

  it.each<[string, LaunchVariant, RegExp]>([
    ['no vCPU', { vcpus: 0, signature: epyc }, /cannot measure 0 vCPUs/],
    ['half a vCPU', { vcpus: 1.5, signature: epyc }, /whole number/],
    ['a million vCPUs', { vcpus: 1e6, signature: epyc }, /from 1 to 4096/],
    ['no signature under QEMU', { vcpus: 1 }, /vCPU signature undefined/],
    ['a signature of 33 bits', { vcpus: 1, signature: 2 ** 32 }, /32-bit/],
    ['negative features', { vcpus: 1, signature: epyc, features: -1n }, /64-bit/],
    ['features of 65 bits', { vcpus: 1, signature: epyc, features: 2n ** 64n }, /64-bit/],
  ])('refuse %s', (_name, variant, message) => {
    expect(() => launchDigest(launch, variant)).toThrow(MeasurementError);
    expect(() => launchDigests(launch, [{ vcpus: 1, signature: epyc }, variant])).toThrow(message);
  });

  it('refuse a firmware digest of another length', () => {
    const short = { ...launch, firmwareDigest: Buffer.alloc(32) };
    expect(() => launchDigest(short, { vcpus: 1, signature: epyc })).toThrow(/has 32 bytes, expected 48/);
  });

  it('refuse a kernel where the firmware would not check it', () => {
    const generic = parseFirmware(ovmfX64Fixture(), { target: 'any' });
    expect(() => launchDigest({ firmware: generic, blobs }, { vcpus: 1, signature: epyc })).toThrow(
      /no SNP_KERNEL_HASHES section/,
    );
    const noArea = parseFirmware(
      firmwareImage({
        entries: [
          [resetBlockGuid, words(4)],
          [metadataGuid, words(0x2000)],
        ],
      }),
    );
    expect(() => launchDigest({ firmware: noArea, blobs }, { vcpus: 1, signature: epyc })).toThrow(
      /no kernel hash table area/,
    );
    expect(() => sevDigest(generic, blobs)).toThrow(MeasurementError);
    expect(() => sevEsDigest(generic, 1, epyc, blobs)).toThrow(MeasurementError);
  });
});

describe('trace', () => {
  const variants = [
    { vcpus: 2, signature: epyc },
    { vcpus: 3, signature: epyc },
    { vcpus: 1, signature: milan },
  ];

  function traced(): { steps: MeasuredStep[]; digests: Buffer[] } {
    const steps: MeasuredStep[] = [];
    const digests = launchDigests(launch, variants, (step) => steps.push(step));
    return { steps, digests };
  }

  it('sees firmware, sections in order, then each vCPU of each shape once', () => {
    const { steps } = traced();
    expect(steps.map(({ stage, name, type }) => `${stage} ${name} ${type}`)).toEqual([
      'firmware firmware normal',
      'section SNP_SEC_MEM zero',
      'section SNP_SEC_MEM zero',
      'section SNP_SECRETS secrets',
      'section CPUID cpuid',
      'section SNP_SVSM_CAA zero',
      'section SNP_SEC_MEM zero',
      'section SNP_KERNEL_HASHES normal',
      'vmsa vCPU 0 vmsa',
      'vmsa vCPU 1 vmsa',
      'vmsa vCPU 2 vmsa',
      'vmsa vCPU 0 vmsa',
    ]);
    expect(steps[0]).toMatchObject({ gpa: 0xffff_0000, size: 65_536, digest: firmwareDigest(firmware) });
    expect(steps.at(-1)).toMatchObject({
      gpa: 0xffff_ffff_f000,
      size: 4096,
      variant: { signature: milan, features: 1n },
    });
  });

  it('ends in the digests', () => {
    const { steps, digests } = traced();
    expect([steps.at(-3), steps.at(-2), steps.at(-1)].map((step) => step?.digest)).toEqual(digests);
  });

  it('cannot change what it sees', () => {
    const meddled = launchDigests(launch, variants, (step) => step.digest.fill(0));
    expect(meddled).toEqual(launchDigests(launch, variants));
  });

  it('shows the hash page as zero without kernel hashes', () => {
    const steps: MeasuredStep[] = [];
    launchDigest({ firmware }, { vcpus: 1, signature: epyc }, (step) => steps.push(step));
    expect(steps.find(({ name }) => name === 'SNP_KERNEL_HASHES')?.type).toBe('zero');
  });
});

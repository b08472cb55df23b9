import { zstdCompressSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { parseKernelConfig } from '../../../src/base/check/kernel-config.ts';
import { factNotes, kernelFacts } from '../../../src/base/check/kernel-facts.ts';
import { findInKernel, readKernelImage } from '../../../src/base/check/kernel-image.ts';
import { bzImage } from '../../support/bzimage.ts';

const banner = '6.1.0-28-amd64 (debian-kernel@lists.debian.org) #1 SMP Debian 6.1.119-1 (2024-11-22)';

describe('readKernelImage', () => {
  it('has the release and the whole banner', () => {
    expect(readKernelImage(bzImage(banner, 'x'))).toMatchObject({ release: '6.1.0-28-amd64', banner });
  });

  it('refuses what is no kernel, one of 32 bits, and one that is cut short', () => {
    const image = bzImage(banner, 'x');
    expect(readKernelImage(Buffer.alloc(8192))).toBeUndefined();
    expect(readKernelImage(image.subarray(0, 600))).toBeUndefined();
    const of32Bits = Buffer.from(image);
    of32Bits.writeUInt16LE(0, 0x236);
    expect(readKernelImage(of32Bits)).toBeUndefined();
  });
});

describe('findInKernel', () => {
  it('finds a text wherever it lies, also across two pieces of what is unpacked', async () => {
    // zlib gives 16 KiB at a time; texts begin at every place around a border.
    for (const at of [0, 16_370, 16_380, 16_384, 40_000]) {
      const image = readKernelImage(
        bzImage(banner, `${'.'.repeat(at)}needle in the kernel${'.'.repeat(20_000)}`),
      )!;
      expect(await findInKernel(image, ['needle in the kernel', 'another'])).toEqual(
        new Set(['needle in the kernel']),
      );
    }
  });

  it('says nothing of a compression that it does not read, nor of a damaged kernel', async () => {
    const foreign = readKernelImage(bzImage(banner, 'needle', (bytes) => Buffer.from(`LZOP${bytes}`)))!;
    expect(await findInKernel(foreign, ['needle'])).toBeUndefined();
    const damaged = readKernelImage(bzImage(banner, 'needle'))!;
    damaged.payload.fill(0, 10);
    expect(await findInKernel(damaged, ['needle'])).toBeUndefined();
  });
});

describe('kernelFacts', () => {
  const ia32 = parseKernelConfig('CONFIG_IA32_EMULATION=y');
  const facts = (kernel: string, release = '6.1.0-28-amd64') =>
    kernelFacts(release, readKernelImage(bzImage(`${release} #1`, kernel)), ia32);

  it('trusts the kernel itself over its number: distributions take fixes into old ones', async () => {
    expect(await facts('… RDRAND is defective. …')).toMatchObject({
      stopsWithoutRdrand: true,
      no32Bit: false,
    });
    expect(await facts('…', '6.12.1')).toMatchObject({ stopsWithoutRdrand: false, no32Bit: false });
  });

  it('goes by the number where it cannot look, and then says only what is certain', async () => {
    const opaque = (release: string) =>
      kernelFacts(
        release,
        readKernelImage(bzImage(`${release} #1`, 'x', () => Buffer.from('????????'))),
        ia32,
      );
    expect(await opaque('6.9.0-1')).toMatchObject({ stopsWithoutRdrand: true, no32Bit: true });
    expect(await opaque('6.8.0-60-generic')).toMatchObject({ stopsWithoutRdrand: undefined, no32Bit: true });
    expect(await opaque('6.1.0-28-amd64')).toMatchObject({
      stopsWithoutRdrand: undefined,
      no32Bit: undefined,
    });
    expect(await opaque('10.0')).toMatchObject({ stopsWithoutRdrand: true, no32Bit: true });
  });

  it('counts a kernel without 32-bit system calls as free of them', async () => {
    expect(await kernelFacts('6.1.0', undefined, parseKernelConfig('CONFIG_EFI=y'))).toMatchObject({
      no32Bit: true,
    });
  });

  it('makes a note of each fact that is not as it should be, and of no other', async () => {
    expect(factNotes(await facts('RDRAND is defective. ia32_emulation='))).toEqual([]);
    expect(factNotes(await facts('nothing'))).toEqual([
      expect.stringContaining('does not stop where RDRAND gives nothing'),
      expect.stringContaining('keeps 32-bit system calls'),
    ]);
  });

  it('reads zstd too', async () => {
    const image = readKernelImage(
      bzImage(banner, 'ia32_emulation', (bytes) => Buffer.concat([zstdCompressSync(bytes), Buffer.alloc(4)])),
    )!;
    expect(await findInKernel(image, ['ia32_emulation'])).toEqual(new Set(['ia32_emulation']));
  });
});

import { mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { MeasurementError, parseFirmware, readFirmware } from '../../../src/measure/index.ts';
import {
  firmwareImage,
  hashTableGuid,
  type ImageParts,
  metadataGuid,
  metadataOffset,
  resetBlockGuid,
  usualEntries,
  usualSections,
  words,
} from './firmware-image.ts';
import { amdSevFixture, ovmfX64Fixture } from './vectors.ts';

const withSections = (...sections: [number, number, number][]): Buffer => firmwareImage({ sections });
const withEntries = (...entries: [string, Buffer][]): Buffer => firmwareImage({ entries });
const changed = (change: (image: Buffer) => void, parts?: ImageParts): Buffer => {
  const image = firmwareImage(parts);
  change(image);
  return image;
};
/** Header of the entry nearest to the footer. */
const firstEntry = 65_536 - 32 - 18 - 18;
const footer = 65_536 - 32 - 18;

describe('firmware', () => {
  it('yields the size, hash, tables and addresses of an AmdSev build', () => {
    const firmware = parseFirmware(amdSevFixture(), { target: 'any' });
    expect(firmware.sha256).toBe('8f765dfabc127fc0a938a0744a3103ec15864d7d794eb4c398aa976b6d6ab16c');
    expect(firmware.size).toBe(4096);
    expect(firmware.baseAddress).toBe(0xffff_f000);
    expect(firmware.resetAddress).toBe(0x80b004);
    expect(firmware.hashTableArea).toEqual({ base: 0x810c00, size: 0x400 });
    expect(firmware.sections).toContainEqual({ gpa: 0x810000, size: 0x1000, type: 'SNP_KERNEL_HASHES' });
  });

  it('has no hash table area where the base is zero', () => {
    expect(parseFirmware(ovmfX64Fixture(), { target: 'any' }).hashTableArea).toBeUndefined();
  });

  it('keeps the sections in file order', () => {
    const { sections } = parseFirmware(firmwareImage());
    expect(sections.map(({ gpa }) => gpa)).toEqual(usualSections.map(([gpa]) => gpa));
  });

  it('keeps entries with unknown GUIDs, and empty ones', () => {
    const image = withEntries(
      ['11111111-2222-3333-4444-555555555555', Buffer.from('unknown')],
      ['deadbeef-0000-0000-0000-000000000000', Buffer.alloc(0)],
      ...(usualEntries as [string, Buffer][]),
    );
    const { entries, resetAddress } = parseFirmware(image);
    expect(entries.get('11111111-2222-3333-4444-555555555555')?.data.toString()).toBe('unknown');
    expect(entries.get('deadbeef-0000-0000-0000-000000000000')?.data).toHaveLength(0);
    expect(resetAddress).toBe(0x80b004);
  });

  it('without a footer has no entries, and is not for QEMU', () => {
    const image = changed((bytes) => bytes.fill(0, footer));
    expect(parseFirmware(image, { target: 'any' }).entries.size).toBe(0);
    expect(() => parseFirmware(image)).toThrow(/no SEV metadata entry/);
  });

  it('names the offset it stopped at', () => {
    const image = changed((bytes) => bytes.writeUInt32LE(2, metadataOffset + 8));
    try {
      parseFirmware(image);
      expect.unreachable();
    } catch (error) {
      expect(error).toBeInstanceOf(MeasurementError);
      expect((error as MeasurementError).offset).toBe(metadataOffset + 8);
      expect((error as Error).message).toBe(
        'cannot read firmware: SEV metadata at offset 0xe000 has version 2, expected 1',
      );
    }
  });
});

describe('firmware is refused', () => {
  it.each<[string, Buffer, RegExp]>([
    ['that is empty', Buffer.alloc(0), /size is 0 bytes/],
    [
      'cut within a page',
      firmwareImage().subarray(0, 65_535),
      /size is 65535 bytes, expected a multiple of 4096/,
    ],
    ['too large to map', Buffer.alloc(16 * 1024 * 1024 + 4096), /expected a multiple of 4096 up to 16777216/],
    [
      'whose table is shorter than its footer',
      changed((b) => b.writeUInt16LE(17, footer)),
      /its table 17 bytes/,
    ],
    [
      'whose table is longer than the file',
      changed((b) => b.writeUInt16LE(0xffff, footer)),
      /its table 65535 bytes/,
    ],
    [
      'whose entry is shorter than its header',
      changed((b) => b.writeUInt16LE(4, firstEntry)),
      /has length 4, expected 18 to/,
    ],
    ['whose entry leaves the table', changed((b) => b.writeUInt16LE(999, firstEntry)), /has length 999/],
    [
      'with an entry twice',
      withEntries(...(usualEntries as [string, Buffer][]), [resetBlockGuid, words(1)]),
      /is the second with GUID 00f771de/,
    ],
    [
      'with a reset block of 8 bytes',
      withEntries([resetBlockGuid, words(1, 2)]),
      /8 bytes of data, expected 4/,
    ],
    [
      'with a hash table entry of 4 bytes',
      withEntries([hashTableGuid, words(1)]),
      /4 bytes of data, expected 8/,
    ],
    [
      'whose metadata lies before the file',
      withEntries([metadataGuid, words(65_537)]),
      /65537 bytes before the end/,
    ],
    [
      'whose metadata lies in the last bytes',
      withEntries([metadataGuid, words(15)]),
      /15 bytes before the end/,
    ],
    ['whose metadata lies nowhere', withEntries([metadataGuid, words(0)]), /0 bytes before the end/],
    [
      'with another metadata signature',
      changed((b) => b.write('ASEW', metadataOffset)),
      /begins with "ASEW", expected "ASEV"/,
    ],
    [
      'with another metadata version',
      changed((b) => b.writeUInt32LE(0, metadataOffset + 8)),
      /version 0, expected 1/,
    ],
    [
      'with absurdly many sections',
      changed((b) => b.writeUInt32LE(0xffff_ffff, metadataOffset + 12)),
      /lists 4294967295 sections/,
    ],
    [
      'with fewer sections than its length says',
      changed((b) => b.writeUInt32LE(6, metadataOffset + 12)),
      /length 100, expected 88/,
    ],
    [
      'whose sections leave the file',
      firmwareImage({ size: 4096 * 16, metadataDistance: 16 + 12, entries: [[metadataGuid, words(28)]] }),
      /at most 28 before the end of the file/,
    ],
    [
      'with an unknown section type',
      withSections([0x800000, 0x1000, 7]),
      /has type 0x7, expected one of 0x1/,
    ],
    ['with a section size within a page', withSections([0x800000, 0x1001, 1]), /multiples of 4096/],
    ['with a section address within a page', withSections([0x800010, 0x1000, 1]), /multiples of 4096/],
    [
      'with two pages of secrets',
      withSections([0x800000, 0x2000, 2]),
      /SNP_SECRETS\) has size 0x2000, expected 0x1000/,
    ],
    ['with an empty CPUID section', withSections([0x800000, 0, 3]), /CPUID\) has size 0x0/],
    [
      'with two kernel hash pages in a section',
      withSections([0x810000, 0x2000, 16]),
      /KERNEL_HASHES\) has size 0x2000/,
    ],
    [
      'with two kernel hash sections',
      withSections([0x810000, 0x1000, 16], [0x812000, 0x1000, 16]),
      /2 SNP_KERNEL_HASHES sections/,
    ],
    ['with overlapping sections', withSections([0x802000, 0x2000, 1], [0x800000, 0x3000, 1]), /overlaps/],
    ['with a section over the firmware', withSections([0xffff_0000, 0x1000, 1]), /below the firmware/],
    ['with a section past 4 GiB', withSections([0xffff_f000, 0x2000, 1]), /below the firmware/],
    ['with sections of gigabytes', withSections([0, 0xf000_0000, 1]), /covers 4026531840 bytes of memory/],
  ])('%s', (_name, image, message) => {
    for (const target of ['any', 'qemu'] as const) {
      expect(() => parseFirmware(image, { target })).toThrow(MeasurementError);
      expect(() => parseFirmware(image, { target })).toThrow(message);
    }
  });

  it.each<[string, Buffer, RegExp]>([
    ['a size within a 64 KiB block', firmwareImage({ size: 65_536 + 4096 }), /expected a multiple of 65536/],
    ['no SEV metadata', withEntries([resetBlockGuid, words(0x80b004)]), /no SEV metadata entry/],
    ['no reset block', withEntries([metadataGuid, words(0x2000)]), /no SEV-ES reset block/],
    [
      'a hash table outside of the measured page',
      withEntries(
        [resetBlockGuid, words(1)],
        [hashTableGuid, words(0x820c00, 0x400)],
        [metadataGuid, words(0x2000)],
      ),
      /kernel hashes at 0x820c00, expected an address in the measured page at 0x810000/,
    ],
  ])('for QEMU alone with %s', (_name, image, message) => {
    expect(() => parseFirmware(image, { target: 'any' })).not.toThrow();
    expect(() => parseFirmware(image, { target: 'qemu' })).toThrow(message);
    expect(() => parseFirmware(image)).toThrow(MeasurementError);
  });
});

describe('firmware file', () => {
  const folder = mkdtempSync(join(tmpdir(), 'measure-firmware-'));
  afterAll(() => rmSync(folder, { recursive: true }));

  it('reads like its bytes', async () => {
    const path = join(folder, 'good.fd');
    writeFileSync(path, firmwareImage());
    expect((await readFirmware(path)).sha256).toBe(parseFirmware(firmwareImage()).sha256);
  });

  it('of a terabyte is refused unread', async () => {
    const path = join(folder, 'huge.fd');
    writeFileSync(path, '');
    truncateSync(path, 2 ** 40);
    await expect(readFirmware(path)).rejects.toThrow(/1099511627776 bytes, expected at most 16777216/);
  });

  it('that is a folder or absent is refused by name', async () => {
    await expect(readFirmware(folder)).rejects.toThrow(MeasurementError);
    await expect(readFirmware(join(folder, 'none'))).rejects.toThrow(/cannot read firmware .*none: ENOENT/);
  });
});
